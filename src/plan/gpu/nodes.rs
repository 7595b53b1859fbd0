//! From the GPUs that are meant to what is granted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::cdi::Beside;
use super::select::{Picked, Selection, automatic, offered};
use super::{Asked, EnvChange, GpuError, GpuPlan, NodeLink, Rights};
use crate::host::gpu::{Node, NodeState, Scope, Vendor};
use crate::plan::DeviceGrant;
use crate::policy::gpu::{Class, GpuWish};
use crate::request::Origin;

/// The grants of a selection.
pub(super) fn plan(asked: Asked<'_>, selection: Selection<'_>) -> GpuPlan {
    let Selection { usable, shared, errors, env, notes: mut told } = selection;
    let names: Vec<_> = usable.iter().flat_map(|picked| picked.names.clone()).collect();
    let whose = who(asked, &names);
    let mut notes: Vec<_> = errors.iter().map(GpuError::one_line).collect();
    let mut devices = Vec::new();
    for node in &shared {
        let of_vendor = usable.iter().filter(|picked| node.row.vendor.is_none_or(|vendor| picked.gpu.vendor == vendor));
        let sharers: Vec<_> = of_vendor.flat_map(|picked| picked.names.clone()).collect();
        devices.extend(grant(node, &who(asked, &sharers)));
        notes.extend(left_out(node));
    }
    for picked in &usable {
        let whose = who(asked, &picked.names);
        devices.extend(picked.nodes().filter_map(|node| grant(node, &whose)));
    }
    if devices.is_empty() {
        let lost = asked.classes.by.is_explicit() && asked.wish.value.needs_discovery();
        notes.extend(lost.then(|| format!("gpu class {}: without effect, no GPU is granted", asked.classes.value)));
        notes.append(&mut told);
        return GpuPlan { who: whose, env, notes, ..GpuPlan::default() };
    }
    notes.extend(of_classes(asked, &usable));
    let mut env = env;
    env.extend(asked.classes.value.mps.as_ref().map(|directory| EnvChange {
        name: "CUDA_MPS_PIPE_DIRECTORY".into(),
        value: Some(directory.into()),
        note: "where the MPS server's pipes are".to_owned(),
    }));
    notes.append(&mut told);
    notes.push(surface(asked, &usable));
    let subset = subset(asked, &usable);
    GpuPlan {
        drawn_on: drawn_on(asked, &usable, &subset),
        links: usable.iter().flat_map(|picked| links(picked, &who(asked, &picked.names))).collect(),
        read_paths: read_paths(asked, &whose),
        subset,
        env,
        rights: Rights::of(&asked.classes.value, runs_cuda(asked, &usable)),
        cdi: Beside::default(),
        devices,
        who: whose,
        notes,
    }
}

/// Which GPUs, and by whose wish: `gpu 0, 1 (all by --gpu)`.
pub(super) fn who(asked: Asked<'_>, names: &[String]) -> String {
    let gpus = if names.is_empty() { "every gpu".to_owned() } else { format!("gpu {}", names.join(", ")) };
    match &asked.wish.value {
        GpuWish::Auto => format!("{gpus} (auto)"),
        wish @ (GpuWish::Off | GpuWish::All | GpuWish::Visible | GpuWish::These(_)) => {
            format!("{gpus} ({wish} by {})", asked.wish.by)
        }
    }
}

/// Vendors of which some GPUs are granted, and not all: of a GPU in MIG mode all of its instances.
fn subset(asked: Asked<'_>, usable: &[Picked<'_>]) -> BTreeSet<Vendor> {
    let parts = |vendor| {
        let gpus = offered(asked).filter(move |gpu| gpu.vendor == vendor);
        gpus.map(|gpu| gpu.mig.iter().map(|mig| mig.compute.len()).sum::<usize>().max(1)).sum::<usize>()
    };
    let granted = |vendor| {
        let own = usable.iter().filter(move |picked| picked.gpu.vendor == vendor);
        own.map(|picked| picked.instances.iter().map(|mig| mig.compute.len()).sum::<usize>().max(1)).sum::<usize>()
    };
    let vendors: BTreeSet<_> = usable.iter().map(|picked| picked.gpu.vendor).collect();
    vendors.into_iter().filter(|vendor| granted(*vendor) < parts(*vendor)).collect()
}

/// The minors of NVIDIA's GPUs that are drawn on, where others are there.
fn drawn_on(asked: Asked<'_>, usable: &[Picked<'_>], subset: &BTreeSet<Vendor>) -> Option<Vec<u32>> {
    let draws = asked.classes.value.has(Class::Graphics) && subset.contains(&Vendor::Nvidia);
    let own = usable.iter().filter(|picked| picked.gpu.vendor == Vendor::Nvidia);
    draws.then(|| own.filter_map(|picked| picked.gpu.minor).collect())
}

fn read_paths(asked: Asked<'_>, whose: &str) -> Vec<(PathBuf, Origin)> {
    let because = |what: &str| Origin::Gpu(format!("{whose}, {what}"));
    let libraries = asked.gpus.libraries.iter().map(|row| (PathBuf::from(row.path), because(row.what)));
    let found = asked.gpus.directories.iter().map(|path| (path.clone(), because("driver libraries")));
    libraries.chain(found).collect()
}

/// Intel's compute runtime and some of Mesa look for nodes by place first. Links to others would only tell of them.
fn links(picked: &Picked<'_>, whose: &str) -> Vec<NodeLink> {
    let (Some(bus), None | Some(0)) = (picked.gpu.bus, picked.gpu.partition) else { return Vec::new() };
    let kinds = picked.gpu.own_nodes().filter(|node| node.is_ok()).filter_map(|node| match node.row.scope {
        Scope::Render => Some((node, "render")),
        Scope::Card => Some((node, "card")),
        Scope::Shared | Scope::Device | Scope::Instance | Scope::Entry { .. } | Scope::Channel => None,
    });
    let link = |(node, kind): (&Node, &str)| {
        Some(NodeLink {
            path: PathBuf::from(format!("/dev/dri/by-path/pci-{bus}-{kind}")),
            node: node.path.clone(),
            to: Path::new("..").join(node.path.file_name()?),
            because: Origin::Gpu(format!("{whose}, its node by place")),
        })
    };
    kinds.filter_map(link).collect()
}

/// [`surface`] where nothing is known of the driver.
pub(super) const SURFACE: &str =
    "a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated";

/// The one line that a plan with a GPU must not be without.
fn surface(asked: Asked<'_>, usable: &[Picked<'_>]) -> String {
    if asked.gpus.wsl.is_some() {
        return "a GPU is granted: its commands reach the kernel of the Windows host, a large attack surface"
            .to_owned();
    }
    let nvidia = asked.gpus.driver.as_ref().filter(|_| usable.iter().any(|picked| picked.gpu.vendor == Vendor::Nvidia));
    match nvidia {
        Some(driver) => format!(
            "a GPU is granted: its driver (version {}) is a large attack surface in the kernel; keep it updated",
            driver.version.as_deref().unwrap_or("unknown")
        ),
        None => SURFACE.to_owned(),
    }
}

/// Whether programs of CUDA run on it.
fn runs_cuda(asked: Asked<'_>, usable: &[Picked<'_>]) -> bool {
    let runs = |picked: &Picked<'_>| matches!(picked.gpu.vendor, Vendor::Nvidia | Vendor::Jetson);
    asked.gpus.wsl.is_some() || usable.iter().any(runs)
}

/// What the classes bring with them.
fn of_classes(asked: Asked<'_>, usable: &[Picked<'_>]) -> Vec<String> {
    let classes = &asked.classes.value;
    let admin_only = asked.gpus.driver.as_ref().is_some_and(|driver| driver.params.profiling_admin_only != Some(false));
    let drawn_in_parts = usable.iter().any(|picked| !picked.gpu.mig.is_empty());
    let some_only = usable.len() < automatic(asked).count();
    let told = [
        (Class::Imex, true, "memory of an IMEX channel is shared with programs on other hosts"),
        (Class::Mps, true, "work is done by the host's MPS server, outside the sandbox"),
        (Class::Gds, true, "io_uring is allowed: its requests do calls that no filter sees"),
        (Class::Rdma, true, "RDMA pins memory: the limit of locked memory is the caller's (`ulimit -l`)"),
        (Class::Profiling, true, "perf_event_open is allowed: probes inside the kernel, a record of escalations"),
        (
            Class::Profiling,
            admin_only,
            "the driver gives performance counters to the host's administrator alone (RmProfilingAdminOnly)",
        ),
        (Class::Graphics, drawn_in_parts, "a GPU in MIG mode has no render node to grant"),
        (
            Class::Video,
            some_only,
            "NVENC and NVDEC of some drivers fail on all but the last GPU where others are hidden",
        ),
    ];
    let said = told.into_iter().filter(|(class, applies, _)| classes.has(*class) && *applies);
    said.map(|(class, _, what)| format!("gpu class {class}: {what}")).collect()
}

fn grant(node: &Node, whose: &str) -> Option<DeviceGrant> {
    let (NodeState::Ok { id }, Some(number)) = (node.state, node.expected) else { return None };
    let because = Origin::Gpu(format!("{whose}, {}", node.needed_for()));
    Some(DeviceGrant {
        path: node.path.clone(),
        source: None,
        read_only: false,
        major: number.major,
        minor: number.minor,
        id,
        because,
        required: node.row.required,
    })
}

/// An optional node that is there but unfit. One that is simply absent is normal on hosts with a hand-made `/dev`.
fn left_out(node: &Node) -> Option<String> {
    let unfit = !node.row.required && node.state != NodeState::Absent;
    let fault = node.fault().filter(|_| unfit)?;
    Some(format!("optional node left out ({}): {fault}", node.row.needed_for))
}
