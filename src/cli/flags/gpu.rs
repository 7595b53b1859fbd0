//! Flags about GPUs.

use clap::Args;

use super::said;
use crate::request::Request;

/// Which GPUs, and what for.
#[derive(Debug, Args)]
pub struct GpuFlags {
    /// GPUs: auto (what works), off, all, visible (what a scheduler allotted), or a list such as 0,2 or mig:0/1/0.
    #[arg(long, value_name = "WHICH", help_heading = "Devices and network")]
    gpu: Option<String>,
    /// What GPUs are for: compute (default), utility, graphics, video, display, and extras such as rdma.
    #[arg(long, value_name = "CLASS,...", help_heading = "Devices and network")]
    gpu_class: Option<String>,
    /// Hide what the driver tells in /proc of GPUs that are not granted; sandboxes in the sandbox have no /proc then.
    #[arg(long, help_heading = "Devices and network")]
    gpu_hide_others: bool,
}

impl GpuFlags {
    /// Adds what they say to a request.
    pub fn fill(self, request: &mut Request) {
        let Self { gpu, gpu_class, gpu_hide_others } = self;
        request.gpu = said(gpu, "--gpu");
        request.gpu_class = said(gpu_class, "--gpu-class");
        request.gpu_hide_others = said(gpu_hide_others.then_some(true), "--gpu-hide-others");
    }
}
