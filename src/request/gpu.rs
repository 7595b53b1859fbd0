//! What is said about GPUs beside which ones.

use std::path::PathBuf;

use super::Said;

/// Options about GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// `--gpu-class`, unparsed.
    pub class: Option<Said<String>>,
    /// `--gpu-hide-others`: what the driver tells in `/proc` of GPUs that are not granted is hidden.
    pub hide_others: Option<Said<bool>>,
    /// `--cdi-dir`, absolute paths.
    pub cdi_dirs: Vec<Said<PathBuf>>,
}

impl GpuOptions {
    pub(super) fn overlaid_by(mut self, Self { class, hide_others, cdi_dirs }: Self) -> Self {
        self.cdi_dirs.extend(cdi_dirs);
        Self { class: class.or(self.class), hide_others: hide_others.or(self.hide_others), ..self }
    }
}
