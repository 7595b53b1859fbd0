//! Variables: a file of a vendor's may tell programs of its devices, and not what else they run.

use super::{Part, Planner};

/// Variables that a file cannot set: they decide which code runs, or where a shell looks for it, or are ours. A trailing `*` matches
/// the rest of the name.
pub const FILTERED: &[&str] = &[
    "LD_*",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "PATH",
    "HOME",
    "SHELL",
    "BASH_ENV",
    "ENV",
    "PYTHON*",
    "NODE_OPTIONS",
    "PERL5*",
    "RUBY*",
    "GIT_*",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    // Libraries that drivers and loaders of GPUs take in.
    "CUDA_INJECTION*",
    "NVTX_INJECTION*",
    "HSA_TOOLS_LIB",
    "ZE_ENABLE_ALT_DRIVERS",
    "OCL_ICD_*",
    "VK_*",
    "__EGL_*",
    "__GLX_*",
    "LIBGL_DRIVERS_PATH",
    "LIBVA_DRIVERS_PATH",
    "GBM_BACKENDS_PATH",
    "RINGFENCE",
];

/// Tells NVIDIA's own container runtime to keep out of it: nothing in a sandbox reads it.
const FOR_ENGINES: (&str, &str) = ("NVIDIA_VISIBLE_DEVICES", "void");

/// Whether a variable is one of [`FILTERED`].
#[must_use]
pub fn is_filtered(name: &str) -> bool {
    FILTERED.iter().any(|row| match row.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *row,
    })
}

impl<'a> Planner<'a> {
    pub(super) fn env(&mut self, parts: &[Part<'a>]) {
        for part in parts {
            for variable in &part.edits.env {
                let (name, value) = (variable.name.as_str(), variable.value.as_str());
                if (name, value) == FOR_ENGINES {
                    continue;
                }
                if is_filtered(name) {
                    let what = format!("{name} is not set: it decides which code programs run, or is ringfence's own");
                    self.note(part, variable.place, what);
                    continue;
                }
                let because = self.because(part, variable.place);
                // The last word counts.
                self.plan.env.retain(|(known, ..)| known != name);
                self.plan.env.push((name.into(), value.into(), because));
            }
        }
    }
}
