//! Why a GPU wish cannot be fulfilled, and the command that cures it.

use std::fmt;
use std::path::PathBuf;

use crate::host::gpu::mig::MINORS;
use crate::host::gpu::rows::{Number, Scope, looked_for};
use crate::host::gpu::{DeviceNumber, Fault, Node, NodeState, Params, PciAddress, Unheld, UnheldReason, Vendor};
use crate::policy::gpu::{CdiName, GpuWish, Pick};
use crate::request::{Origin, Said};

/// How many devices of CDI files a hint lists.
const SHOWN: usize = 4;

/// One problem with a GPU wish. Displays as what, whose wish and what was looked for, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}\n  needed by: {}{}", self.headline(), self.needed_by(), self.looked_for_line())]
pub struct GpuError {
    /// The GPUs that it stops; empty when it is not about certain GPUs.
    pub gpus: Vec<String>,
    /// What was asked for, and by whom.
    pub wish: Said<GpuWish>,
    /// What is wrong.
    pub problem: GpuProblem,
    /// The driver's parameters: they decide which command helps.
    pub params: Params,
    /// Where discovery looked.
    pub root: PathBuf,
    /// Whose devices it looked for.
    pub vendors: Vec<Vendor>,
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
        /// Devices of CDI files, which could be used.
        cdi: Vec<CdiName>,
    },
    /// No GPU is meant by this selector.
    NoSuch {
        /// Whose it would be.
        vendor: Vendor,
        /// Those that there are, in the form of the selector.
        offered: Vec<String>,
        /// GPUs without an index, because the driver was told to leave them alone.
        excluded: Vec<PciAddress>,
    },
    /// The beginning of several UUIDs.
    Ambiguous {
        /// The GPUs that are meant.
        meant: Vec<String>,
    },
    /// No UUID matches, and the driver does not know that of some GPUs.
    NoUuid {
        /// Whose it would be.
        vendor: Vendor,
        /// Those.
        unknown: Vec<PciAddress>,
    },
    /// Something of it is meant by an earlier item of the list.
    Twice {
        /// That item.
        first: String,
    },
    /// An index, where there are GPUs of several vendors.
    Mixed {
        /// The GPUs that may be meant, with their vendors.
        full: Vec<String>,
    },
    /// The whole of a GPU that only its instances can be used of.
    InMigMode {
        /// Its compute instances.
        instances: Vec<String>,
    },
    /// A GPU without this instance.
    NoInstance {
        /// The GPU.
        gpu: String,
        /// Its minor number.
        minor: Option<u32>,
        /// The compute instances that it has.
        instances: Vec<String>,
    },
    /// A MIG UUID, which only the driver's library can resolve.
    MigUuid {
        /// The UUID.
        uuid: String,
        /// Why it could not.
        why: Option<String>,
    },
    /// A scheduler's variable that cannot be followed.
    Allotment {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// Some GPUs are asked for where only all of them can be had.
    NoIsolation,
    /// A GPU, or what all GPUs share, is not fit for use.
    Fault(Fault),
}

impl fmt::Display for GpuProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGpu { excluded, unheld, cdi: _ } => {
                f.write_str("no GPU found")?;
                excluded_list(f, excluded)?;
                unheld.iter().try_for_each(|gpu| write!(f, "; {gpu}"))
            }
            Self::NoSuch { vendor, offered, excluded } => {
                f.write_str("no such GPU, this machine has ")?;
                match offered.as_slice() {
                    [] => write!(f, "none of `{}`", vendor.word())?,
                    some => f.write_str(&some.join(", "))?,
                }
                excluded_list(f, excluded)
            }
            Self::Ambiguous { meant } => write!(f, "it is the beginning of several UUIDs: GPUs {}", meant.join(", ")),
            Self::NoUuid { unknown, vendor: _ } => {
                let list: Vec<_> = unknown.iter().map(ToString::to_string).collect();
                write!(f, "no UUID matches, and the driver does not tell that of {}", list.join(", "))
            }
            Self::Twice { first } => write!(f, "it was named before, by `{first}`"),
            Self::Mixed { full } => {
                write!(f, "an index counts the GPUs of one vendor, and several are meant: {}", full.join(", "))
            }
            Self::InMigMode { instances } => {
                write!(f, "it is in MIG mode, programs run on its instances: {}", instances.join(", "))
            }
            Self::NoInstance { gpu, instances, .. } if instances.is_empty() => {
                write!(f, "there is no such instance, GPU {gpu} has none")
            }
            Self::NoInstance { gpu, instances, .. } => {
                write!(f, "there is no such instance, GPU {gpu} has {}", instances.join(", "))
            }
            Self::MigUuid { why: Some(why), .. } => f.write_str(why),
            Self::MigUuid { why: None, .. } => f.write_str("only the driver's library knows UUIDs of MIG instances"),
            Self::Allotment { variable, value, why } => write!(f, "{variable}={value} cannot be followed: {why}"),
            Self::NoIsolation => f.write_str("GPUs cannot be told apart on WSL2, one node is for all of them"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

fn excluded_list(f: &mut fmt::Formatter<'_>, excluded: &[PciAddress]) -> fmt::Result {
    excluded.iter().try_for_each(|bus| write!(f, "; {bus}: the driver excludes it"))
}

impl GpuError {
    /// The first line: which GPU, and what is wrong.
    #[must_use]
    pub fn headline(&self) -> String {
        match self.gpus.as_slice() {
            [] => match (&self.problem, self.vendors.as_slice()) {
                (GpuProblem::NoGpu { .. }, [one]) => format!("no GPU of `{}` found", one.word()),
                _ => self.problem.to_string(),
            },
            [one] => format!("GPU {one} cannot be used: {}", self.problem),
            many => format!("GPUs {} cannot be used: {}", many.join(", "), self.problem),
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
            GpuWish::These(list) => {
                let item = |item: &crate::policy::gpu::Selector| match (&item.pick, item.vendor) {
                    (Pick::Index(index), None) => index.to_string(),
                    _ => format!("\"{item}\""),
                };
                format!("gpu = [{}] ({by})", list.iter().map(item).collect::<Vec<_>>().join(", "))
            }
            GpuWish::Off | GpuWish::Auto | GpuWish::All | GpuWish::Visible => format!("gpu = \"{wish}\" ({by})"),
        }
    }

    fn looked_for_line(&self) -> String {
        let what = match &self.problem {
            GpuProblem::NoGpu { .. } => return format!("\n  looked for: {}", looked_for(&self.root, &self.vendors)),
            GpuProblem::NoSuch { vendor, .. } | GpuProblem::NoUuid { vendor, .. } => {
                return format!("\n  looked for: {}", looked_for(&self.root, &[*vendor]));
            }
            GpuProblem::NoInstance { minor: Some(minor), .. } => {
                format!("`/proc/driver/nvidia/capabilities/gpu{minor}/mig/gi*/ci*`")
            }
            GpuProblem::Fault(Fault::NoMinor { bus }) => {
                format!("`Device Minor` in `/proc/driver/nvidia/gpus/{bus}/information`")
            }
            GpuProblem::Fault(Fault::NoComputeInstance { minor, .. }) => {
                format!("`/proc/driver/nvidia/capabilities/gpu{minor}/mig/gi*/ci*`")
            }
            GpuProblem::Fault(Fault::Node(node)) => node.looked_for(),
            GpuProblem::Fault(Fault::NoNodes { list }) => format!("`{list}/*.csv`"),
            // Here nothing is missing: something is there that should not be.
            GpuProblem::NoIsolation
            | GpuProblem::Ambiguous { .. }
            | GpuProblem::Twice { .. }
            | GpuProblem::Mixed { .. }
            | GpuProblem::InMigMode { .. }
            | GpuProblem::NoInstance { minor: None, .. }
            | GpuProblem::MigUuid { .. }
            | GpuProblem::Allotment { .. }
            | GpuProblem::Fault(Fault::Excluded) => return String::new(),
        };
        format!("\n  looked for: {what} below `{}`", self.root.display())
    }

    /// What to do about it, with one command: ``load the module: `sudo nvidia-modprobe` ``. `None` when no command of
    /// ours would help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &self.problem {
            GpuProblem::NoGpu { cdi, .. } if !cdi.is_empty() => {
                let list: Vec<_> = cdi.iter().take(SHOWN).map(ToString::to_string).collect();
                let more = if cdi.len() > SHOWN { ", …" } else { "" };
                let first = cdi.first()?;
                Some(format!("use what CDI files describe ({}{more}): `--gpu cdi:{first}`", list.join(", ")))
            }
            GpuProblem::NoGpu { excluded, unheld, cdi: _ } => no_gpu(excluded, unheld),
            GpuProblem::NoSuch { .. } => Some("see which GPUs there are: `ringfence gpus`".to_owned()),
            GpuProblem::Ambiguous { meant } => Some(format!("name one of them: `--gpu {}`", meant.first()?)),
            GpuProblem::NoUuid { unknown, .. } => {
                Some(format!("name it by its place: `--gpu pci:{}`", unknown.first()?))
            }
            GpuProblem::Twice { .. } => Some("name each GPU once".to_owned()),
            GpuProblem::Mixed { full } => Some(format!("name them with their vendors: `--gpu {}`", full.join(","))),
            GpuProblem::InMigMode { instances } | GpuProblem::NoInstance { instances, .. } => {
                Some(match instances.first() {
                    Some(instance) => format!("name the instances that it is to have: `--gpu {instance}`"),
                    None => "see which GPUs and instances there are: `ringfence gpus`".to_owned(),
                })
            }
            GpuProblem::MigUuid { .. } => {
                Some("name it by its ids: `--gpu mig:GPU/GI/CI`, with the GI ID and CI ID of `nvidia-smi`".to_owned())
            }
            GpuProblem::Allotment { variable, .. } => Some(format!("name GPUs, or set it right: `unset {variable}`")),
            GpuProblem::NoIsolation => Some("grant all of them: `--gpu all`".to_owned()),
            GpuProblem::Fault(Fault::Excluded) => Some(see_excluded()),
            GpuProblem::Fault(Fault::NoMinor { .. }) => Some("see what the driver reports: `nvidia-smi -q`".to_owned()),
            GpuProblem::Fault(Fault::NoComputeInstance { bus, .. }) => {
                Some(format!("make one in each GPU instance: `sudo nvidia-smi mig -cci -i {bus}`"))
            }
            GpuProblem::Fault(Fault::NoNodes { .. }) => {
                Some("use a CDI specification: `sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`".to_owned())
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
    match (node.state, node.expected, tool.clone()) {
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
        (state, ..) if node.row.vendor != Some(Vendor::Nvidia) || tool.is_none() => of_others(node, state),
        (NodeState::NotRegistered { .. }, _, Some(_)) if node.slot.is_some() => {
            "see why the driver did not register it: `sudo dmesg | grep NVRM`".to_owned()
        }
        (NodeState::NotRegistered { .. }, _, Some(tool)) => format!("load the module on the host: `sudo {tool}`"),
        (state, Some(number), Some(_)) if by_hand => make(&path, number, state == NodeState::Absent, params),
        (_, _, tool) => format!("make the node on the host: `sudo {}`", tool.unwrap_or_default()),
    }
}

/// Nodes that udev or the system's start makes.
fn of_others(node: &Node, state: NodeState) -> String {
    let module = module(node);
    match (state, module) {
        _ if node.row.vendor == Some(Vendor::Wsl) => {
            "start the virtual machine again, from Windows: `wsl --shutdown`".to_owned()
        }
        (NodeState::NotRegistered { .. } | NodeState::Unnumbered { .. }, Some(module)) => {
            format!("load the module on the host: `sudo modprobe {module}`")
        }
        _ => "have the node made again by udev: `sudo udevadm trigger --action=add`".to_owned(),
    }
}

/// The kernel module whose node it is; `None` where that depends on the hardware.
fn module(node: &Node) -> Option<&'static str> {
    match (node.row.path, node.row.vendor) {
        ("/dev/kfd", _) => Some("amdgpu"),
        ("/dev/infiniband/rdma_cm", _) => Some("rdma_ucm"),
        ("/dev/infiniband/uverbs#", _) => Some("ib_uverbs"),
        ("/dev/gdrdrv", _) => Some("gdrdrv"),
        ("/dev/nvidia-fs#", _) => Some("nvidia-fs"),
        ("/dev/vfio/vfio", _) => Some("vfio"),
        (_, Some(Vendor::Nvidia)) if matches!(node.row.scope, Scope::Render | Scope::Card) => Some("nvidia-drm"),
        _ => None,
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
    node.row.path.starts_with("/dev/nvidia") && matches!(node.row.number, Number::Fixed { .. } | Number::Counted { .. })
}

/// How `nvidia-modprobe` is told to make this node; `None` for a node that is not NVIDIA's.
///
/// Source: nvidia-modprobe.c and nvidia-modprobe-utils.c; minor 255 is the control device, and `-u -c 0` makes both
/// nodes of unified memory.
fn tool(node: &Node) -> Option<String> {
    if node.row.vendor != Some(Vendor::Nvidia) || !node.row.path.starts_with("/dev/nvidia") {
        return None;
    }
    match (node.row.number, node.row.scope, node.expected) {
        (_, Scope::Instance, _) => node.slot.map(|slot| format!("nvidia-modprobe -f {}", slot.access_file())),
        (_, Scope::Channel, Some(number)) => Some(format!("nvidia-modprobe -i {}", number.minor)),
        (Number::Registered { name: "nvidia-uvm", .. }, ..) => Some("nvidia-modprobe -u -c 0".to_owned()),
        (Number::Fixed { minor: 254, .. }, ..) => Some("nvidia-modprobe -m".to_owned()),
        (Number::Fixed { .. } | Number::Counted { .. }, _, Some(number)) => {
            Some(format!("nvidia-modprobe -c {}", number.minor))
        }
        _ => None,
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
