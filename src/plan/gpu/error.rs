//! Why a GPU wish cannot be fulfilled, and the command that cures it.

use std::fmt;
use std::path::PathBuf;

use crate::host::gpu::mig::MINORS;
use crate::host::gpu::rows::{Number, looked_for};
use crate::host::gpu::{DeviceNumber, Fault, Node, NodeState, Params, PciAddress, Unheld, UnheldReason};
use crate::policy::gpu::{GpuIndex, GpuWish};
use crate::request::{Origin, Said};

/// One problem with a GPU wish. Displays as what, whose wish and what was looked for, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}\n  needed by: {}{}", self.headline(), self.needed_by(), self.looked_for_line())]
pub struct GpuError {
    /// The GPUs that it stops; empty when it is not about certain GPUs.
    pub gpus: Vec<GpuIndex>,
    /// What was asked for, and by whom.
    pub wish: Said<GpuWish>,
    /// What is wrong.
    pub problem: GpuProblem,
    /// The driver's parameters: they decide which command helps.
    pub params: Params,
    /// Where discovery looked.
    pub root: PathBuf,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuProblem {
    /// No GPU can be granted at all.
    NoGpu {
        /// GPUs that the driver was told to leave alone.
        excluded: Vec<PciAddress>,
        /// GPUs that the driver does not list.
        unheld: Vec<Unheld>,
    },
    /// No GPU has this index.
    NoSuchIndex {
        /// The indices there are.
        offered: Vec<GpuIndex>,
        /// GPUs without an index, because the driver was told to leave them alone.
        excluded: Vec<PciAddress>,
    },
    /// Some GPUs are asked for where only all of them can be had.
    NoIsolation,
    /// A GPU, or what all GPUs share, is not fit for use.
    Fault(Fault),
}

impl fmt::Display for GpuProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGpu { excluded, unheld } => {
                f.write_str("no GPU found")?;
                excluded_list(f, excluded)?;
                unheld.iter().try_for_each(|gpu| write!(f, "; {gpu}"))
            }
            Self::NoSuchIndex { offered, excluded } => {
                write!(f, "no such GPU, this machine has {}", join(offered))?;
                excluded_list(f, excluded)
            }
            Self::NoIsolation => f.write_str("GPUs cannot be told apart on WSL2, one node is for all of them"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

fn excluded_list(f: &mut fmt::Formatter<'_>, excluded: &[PciAddress]) -> fmt::Result {
    excluded.iter().try_for_each(|bus| write!(f, "; {bus}: the driver excludes it"))
}

fn join(indices: &[GpuIndex]) -> String {
    let words: Vec<_> = indices.iter().map(|index| index.0.to_string()).collect();
    words.join(", ")
}

impl GpuError {
    /// The first line: which GPU, and what is wrong.
    #[must_use]
    pub fn headline(&self) -> String {
        match self.gpus.as_slice() {
            [] => self.problem.to_string(),
            [one] => format!("GPU {} cannot be used: {}", one.0, self.problem),
            many => format!("GPUs {} cannot be used: {}", join(many), self.problem),
        }
    }

    /// Problem and cure in one line, for the notes of a plan.
    #[must_use]
    pub fn one_line(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{}; to {hint}", self.headline()),
            None => self.headline(),
        }
    }

    fn needed_by(&self) -> String {
        let Said { value: wish, by } = &self.wish;
        if let Origin::Flag(flag) = by {
            return format!("{flag} {wish}");
        }
        match wish {
            GpuWish::Indices(list) => format!("gpu = [{}] ({by})", join(list)),
            GpuWish::Off | GpuWish::Auto | GpuWish::All | GpuWish::Cdi(_) => format!("gpu = \"{wish}\" ({by})"),
        }
    }

    fn looked_for_line(&self) -> String {
        let what = match &self.problem {
            GpuProblem::NoGpu { .. } => return format!("\n  looked for: {}", looked_for(&self.root)),
            GpuProblem::NoSuchIndex { .. } => "`/proc/driver/nvidia/gpus`".to_owned(),
            GpuProblem::Fault(Fault::NoMinor { bus }) => {
                format!("`Device Minor` in `/proc/driver/nvidia/gpus/{bus}/information`")
            }
            GpuProblem::Fault(Fault::NoComputeInstance { minor, .. }) => {
                format!("`/proc/driver/nvidia/capabilities/gpu{minor}/mig/gi*/ci*`")
            }
            GpuProblem::Fault(Fault::Node(node)) => node.looked_for(),
            // Here nothing is missing: something is there that should not be.
            GpuProblem::NoIsolation | GpuProblem::Fault(Fault::Excluded) => return String::new(),
        };
        format!("\n  looked for: {what} below `{}`", self.root.display())
    }

    /// What to do about it, with one command: ``load the module: `sudo nvidia-modprobe` ``. `None` when no command of
    /// ours would help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &self.problem {
            GpuProblem::NoGpu { excluded, unheld } => no_gpu(excluded, unheld),
            GpuProblem::NoSuchIndex { .. } => Some("see which GPUs there are: `ringfence gpus`".to_owned()),
            GpuProblem::NoIsolation => Some("grant all of them: `--gpu all`".to_owned()),
            GpuProblem::Fault(Fault::Excluded) => Some(see_excluded()),
            GpuProblem::Fault(Fault::NoMinor { .. }) => Some("see what the driver reports: `nvidia-smi -q`".to_owned()),
            GpuProblem::Fault(Fault::NoComputeInstance { bus, .. }) => {
                Some(format!("make one in each GPU instance: `sudo nvidia-smi mig -cci -i {bus}`"))
            }
            GpuProblem::Fault(Fault::Node(node)) => Some(repair(node, &self.params)),
        }
    }
}

fn see_excluded() -> String {
    "see which GPUs the driver was told to exclude: `grep ExcludedGpus /proc/driver/nvidia/params`".to_owned()
}

fn no_gpu(excluded: &[PciAddress], unheld: &[Unheld]) -> Option<String> {
    if unheld.iter().any(|gpu| gpu.reason == UnheldReason::NotLoaded) {
        return Some("load the module on the host: `sudo nvidia-modprobe`".to_owned());
    }
    if !excluded.is_empty() {
        return Some(see_excluded());
    }
    if unheld.iter().any(|gpu| gpu.reason == UnheldReason::NotBound) {
        return Some("see why the driver refused it: `sudo dmesg | grep NVRM`".to_owned());
    }
    Some(match unheld.first() {
        Some(gpu) => format!("see which driver has it: `lspci -nnk -s {}`", gpu.bus),
        None => "run without one: `--gpu auto`".to_owned(),
    })
}

/// The command that makes a node right. `nvidia-modprobe` removes what is wrong and sets owner and mode itself.
fn repair(node: &Node, params: &Params) -> String {
    let path = node.path.display().to_string();
    let tool = tool(node);
    let by_hand = heeds_params(node) && params.modify_device_files == Some(false);
    match (node.state, node.expected, tool) {
        (NodeState::NoPermission { gid, mode, .. }, _, tool) => {
            let group = node.row.permissions() << 3;
            permit(
                &path,
                (gid, mode & group == group),
                tool.filter(|_| {
                    // The tool gives a node the mode of the parameters: of use only where that one lets everybody in.
                    !heeds_params(node) || (!by_hand && params.mode.unwrap_or(0o666) & 0o006 == 0o006)
                }),
            )
        }
        (NodeState::NotListed { .. }, ..) => format!("see which instances the driver lists: `cat {MINORS}`"),
        (_, _, None) => "start the virtual machine again, from Windows: `wsl --shutdown`".to_owned(),
        (NodeState::NotRegistered { .. }, _, Some(_)) if node.slot.is_some() => {
            "see why the driver did not register it: `sudo dmesg | grep NVRM`".to_owned()
        }
        (NodeState::NotRegistered { .. }, _, Some(tool)) => format!("load the module on the host: `sudo {tool}`"),
        (state, Some(number), Some(_)) if by_hand => make(&path, number, state == NodeState::Absent, params),
        (_, _, Some(tool)) => format!("make the node on the host: `sudo {tool}`"),
    }
}

/// Where the driver's parameters keep `nvidia-modprobe` from making nodes: owner, group and mode as they say.
fn make(path: &str, number: DeviceNumber, absent: bool, params: &Params) -> String {
    let DeviceNumber { major, minor } = number;
    let clear = if absent { String::new() } else { format!("sudo rm -d {path} && ") };
    let mode = params.mode.unwrap_or(0o666);
    let owner = match (params.uid.unwrap_or(0), params.gid.unwrap_or(0)) {
        (0, 0) => String::new(),
        (uid, gid) => format!(" && sudo chown {uid}:{gid} {path}"),
    };
    format!("make the node on the host: `{clear}sudo mknod -m {mode:o} {path} c {major} {minor}{owner}`")
}

/// Whether the tool heeds the driver's parameters. With `-u` it does not: the nodes get mode 0666; and with `-f` they get
/// the mode that the file of the capability says.
fn heeds_params(node: &Node) -> bool {
    matches!(node.row.number, Number::Fixed { .. } | Number::PerGpu { .. })
}

/// How `nvidia-modprobe` is told to make this node; `None` for a node that is not NVIDIA's.
///
/// Source: nvidia-modprobe.c and nvidia-modprobe-utils.c; minor 255 is the control device, and `-u -c 0` makes both
/// nodes of unified memory.
fn tool(node: &Node) -> Option<String> {
    match (node.row.number, node.expected) {
        (Number::Registered { .. }, _) => Some("nvidia-modprobe -u -c 0".to_owned()),
        (Number::PerInstance { .. }, _) => node.slot.map(|slot| format!("nvidia-modprobe -f {}", slot.access_file())),
        (Number::Fixed { .. } | Number::PerGpu { .. }, Some(number)) => {
            Some(format!("nvidia-modprobe -c {}", number.minor))
        }
        (Number::Fixed { .. } | Number::PerGpu { .. } | Number::Misc { .. }, _) => None,
    }
}

fn permit(path: &str, (gid, group_may): (u32, bool), tool: Option<String>) -> String {
    if gid != 0 && group_may {
        let group = format!("\"$(getent group {gid} | cut -d: -f1)\"");
        format!("join group {gid}, then log in again: `sudo usermod -aG {group} \"$USER\"`")
    } else if let Some(tool) = tool {
        format!("give the node the driver's default mode: `sudo {tool}`")
    } else {
        format!("open the node to all users of the host: `sudo chmod 0666 {path}`")
    }
}
