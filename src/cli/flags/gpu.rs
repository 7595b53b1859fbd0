//! Flags about GPUs.

use std::path::PathBuf;

use clap::Args;

use super::complete::Words;
use super::{Caller, heading, said};
use crate::request::Request;
use crate::request::gpu::GpuOptions;

/// Words of `--gpu` that a shell may offer.
const WHICH: &[&str] = &["auto", "off", "all", "visible"];

/// Words of `--gpu-class` that a shell may offer.
const CLASSES: &[&str] = &["compute", "utility", "graphics", "video", "display", "rdma", "gds", "profiling", "debug"];

/// Which GPUs, and what for.
#[derive(Debug, Default, Args)]
pub struct GpuFlags {
    /// Which GPUs: auto (those that work), off, all, visible, or a list: 0,2.
    ///
    /// visible is what a scheduler or a container runtime has allotted. In a list: indices and UUIDs, mig:0/1/0 for an instance of a GPU, amd:0 for one of a vendor, cdi:nvidia.com/gpu=0
    /// for a device of a CDI specification.
    #[arg(long, value_name = "WHICH", help_heading = heading::GPU, value_parser = Words(WHICH), hide_possible_values = true)]
    gpu: Option<String>,
    /// What GPUs are for: compute (default), utility, graphics, video, display, ngx, compat32; and on top of that rdma,
    /// gds, gdrcopy, imex=N, mps, profiling, debug, ipc.
    #[arg(long, value_name = "CLASS,...", help_heading = heading::GPU, value_parser = Words(CLASSES))]
    #[arg(hide_possible_values = true, hide_short_help = true)]
    gpu_class: Option<String>,
    /// Hide what the driver tells in /proc of GPUs that are not granted; sandboxes in the sandbox have no /proc then.
    #[arg(long, help_heading = heading::GPU, hide_short_help = true)]
    gpu_hide_others: bool,
    /// Look for CDI specifications in this directory too; what it says counts more than /etc/cdi and /var/run/cdi.
    #[arg(long, value_name = "DIR", help_heading = heading::GPU, hide_short_help = true)]
    cdi_dir: Vec<PathBuf>,
}

impl GpuFlags {
    pub(super) fn cdi_dirs(&self) -> Vec<PathBuf> {
        self.cdi_dir.iter().filter_map(|path| std::path::absolute(path).ok()).collect()
    }

    /// Adds what they say to a request.
    pub fn fill(self, caller: &Caller, request: &mut Request) {
        let Self { gpu, gpu_class, gpu_hide_others, cdi_dir } = self;
        request.gpu = said(gpu, "--gpu");
        request.gpu_options = GpuOptions {
            class: said(gpu_class, "--gpu-class"),
            hide_others: said(gpu_hide_others.then_some(true), "--gpu-hide-others"),
            cdi_dirs: caller.paths(cdi_dir, "--cdi-dir"),
        };
    }
}
