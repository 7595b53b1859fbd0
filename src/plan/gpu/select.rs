//! Which GPUs, and which parts of them, a wish means on a machine.

use std::collections::BTreeSet;

use super::error::GpuProblem;
use super::visible::{self, Allotment};
use super::{Asked, EnvChange, GpuError};
use crate::host::gpu::{Fault, Gpu, MigInstance, Node, PciAddress, UnheldReason, Vendor};
use crate::policy::gpu::{Class, GpuWish, Pick, Selector};

/// What can be granted, and what stands in the way of the rest.
#[derive(Default)]
pub(super) struct Selection<'a> {
    pub(super) usable: Vec<Picked<'a>>,
    /// The nodes that the usable ones share.
    pub(super) shared: Vec<&'a Node>,
    pub(super) errors: Vec<GpuError>,
    /// Variables that choose among GPUs.
    pub(super) env: Vec<EnvChange>,
    /// Which variables of a scheduler decided, and what they did not.
    pub(super) notes: Vec<String>,
}

/// A GPU that is meant.
#[derive(Clone)]
pub(super) struct Picked<'a> {
    pub(super) gpu: &'a Gpu,
    /// Its instances that are meant; all, where it is in MIG mode and as a whole.
    pub(super) instances: Vec<MigInstance>,
    /// How it and its parts are called in plans and errors.
    pub(super) names: Vec<String>,
}

impl<'a> Picked<'a> {
    pub(super) fn whole(gpu: &'a Gpu) -> Self {
        Self { gpu, instances: gpu.mig.clone(), names: vec![gpu.name()] }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.gpu.own_nodes().chain(self.instances.iter().flat_map(MigInstance::nodes))
    }

    /// Whether something of this is meant by another item too.
    fn overlaps(&self, other: &Self) -> bool {
        let compute = |picked: &Self| -> BTreeSet<(u32, u32)> {
            let ids = |mig: &MigInstance| mig.compute.iter().map(|ci| (mig.id, ci.id)).collect::<Vec<_>>();
            picked.instances.iter().flat_map(ids).collect()
        };
        let same = std::ptr::eq(self.gpu, other.gpu);
        same && (self.gpu.mig.is_empty() || !compute(self).is_disjoint(&compute(other)))
    }
}

/// Resolves the wish.
pub(super) fn select(asked: Asked<'_>) -> Selection<'_> {
    let mut selection = Selection::default();
    if !asked.wish.value.needs_discovery() {
        return selection;
    }
    if wsl(asked, &mut selection) {
        return selection;
    }
    if let Some(error) = nothing_offered(asked) {
        selection.errors.extend(error);
        return selection;
    }
    let picked = match &asked.wish.value {
        GpuWish::Off => Vec::new(),
        GpuWish::All => automatic(asked).map(Picked::whole).collect(),
        GpuWish::Auto | GpuWish::Visible => allotted(asked, &mut selection),
        GpuWish::These(list) => these(asked, list, &mut selection.errors),
    };
    check(asked, picked, &mut selection);
    selection
}

/// One node for all adapters: everything or nothing. Whether this is such a machine.
fn wsl<'a>(asked: Asked<'a>, selection: &mut Selection<'a>) -> bool {
    let Some(wsl) = &asked.gpus.wsl else { return false };
    let all = |item: &Selector| item.pick == Pick::All && item.vendor == Some(Vendor::Wsl);
    if matches!(&asked.wish.value, GpuWish::These(list) if !list.iter().all(all)) {
        selection.errors.push(asked.error(Vec::new(), GpuProblem::NoIsolation));
    } else if wsl.node.is_ok() {
        selection.shared.push(&wsl.node);
    } else {
        selection.errors.push(asked.error(Vec::new(), GpuProblem::Fault(Fault::Node(wsl.node.clone()))));
    }
    true
}

/// GPUs that a driver lets anyone open.
pub(super) fn offered(asked: Asked<'_>) -> impl Iterator<Item = &Gpu> {
    asked.gpus.gpus.iter().filter(|gpu| gpu.index.is_some())
}

/// Those that are granted without being named.
pub(super) fn automatic(asked: Asked<'_>) -> impl Iterator<Item = &Gpu> {
    offered(asked).filter(|gpu| gpu.vendor.is_automatic())
}

fn excluded(asked: Asked<'_>) -> Vec<PciAddress> {
    asked.gpus.gpus.iter().filter(|gpu| gpu.excluded).filter_map(|gpu| gpu.bus).collect()
}

/// `Some` where there is nothing to select from. `auto` on a machine without a GPU is no problem, and a GPU that another
/// driver holds was given to it on purpose; a GPU without any driver is worth a note.
fn nothing_offered(asked: Asked<'_>) -> Option<Option<GpuError>> {
    if offered(asked).next().is_some() || !excluded(asked).is_empty() && matches!(asked.wish.value, GpuWish::These(_)) {
        return None;
    }
    let repairable = asked.gpus.unheld.iter().any(|gpu| !matches!(gpu.reason, UnheldReason::HeldBy(_)));
    let cdi = asked.gpus.cdi.clone();
    if asked.is_auto() && !repairable && cdi.is_empty() {
        return Some(None);
    }
    let problem = GpuProblem::NoGpu { excluded: excluded(asked), unheld: asked.gpus.unheld.clone(), cdi };
    Some(Some(asked.error(Vec::new(), problem)))
}

/// What a scheduler allotted.
fn allotted<'a>(asked: Asked<'a>, selection: &mut Selection<'a>) -> Vec<Picked<'a>> {
    let Allotment { gpus, env, notes, refused } = visible::allotted(asked);
    selection.env = env;
    selection.notes = notes;
    selection.errors.extend(refused.into_iter().map(|problem| asked.error(Vec::new(), problem)));
    in_order(asked, gpus.into_iter().map(Picked::whole).collect())
}

fn these<'a>(asked: Asked<'a>, list: &[Selector], errors: &mut Vec<GpuError>) -> Vec<Picked<'a>> {
    let mut picked: Vec<(Picked<'a>, &Selector)> = Vec::new();
    for item in list.iter().filter(|item| !matches!(item.pick, Pick::Cdi(_))) {
        let problem = match resolve(asked, item) {
            Ok(found) => {
                let twice = picked.iter().find(|(known, _)| found.iter().any(|new| known.overlaps(new)));
                match twice {
                    Some((_, first)) => GpuProblem::Twice { first: first.written.clone() },
                    None => {
                        picked.extend(found.into_iter().map(|found| (found, item)));
                        continue;
                    }
                }
            }
            Err(problem) => problem,
        };
        errors.push(asked.error(vec![item.written.clone()], problem));
    }
    let counted = |item: &Selector| item.vendor.is_none() && matches!(item.pick, Pick::Index(_));
    let vendors: BTreeSet<_> = picked.iter().map(|(found, _)| found.gpu.vendor).collect();
    if vendors.len() > 1 && picked.iter().any(|(_, item)| counted(item)) {
        let full = picked.iter().map(|(found, _)| full_name(found.gpu)).collect();
        errors.push(asked.error(Vec::new(), GpuProblem::Mixed { full }));
    }
    in_order(asked, picked.into_iter().map(|(found, _)| found).collect())
}

/// In the order of the machine, the instances of one GPU in one.
fn in_order<'a>(asked: Asked<'a>, picked: Vec<Picked<'a>>) -> Vec<Picked<'a>> {
    let of = |gpu: &'a Gpu| {
        let mut parts = picked.iter().filter(|part| std::ptr::eq(part.gpu, gpu)).cloned();
        let first = parts.next()?;
        let joined = parts.fold(first, |mut all, part| {
            for mig in part.instances {
                match all.instances.iter_mut().find(|known| known.id == mig.id) {
                    Some(known) => known.compute.extend(mig.compute),
                    None => all.instances.push(mig),
                }
            }
            all.names.extend(part.names);
            all
        });
        Some(joined)
    };
    asked.gpus.gpus.iter().filter_map(of).collect()
}

/// With its vendor, so that it is clear on any machine.
fn full_name(gpu: &Gpu) -> String {
    gpu.index.map_or_else(|| gpu.name(), |index| format!("{}:{index}", gpu.vendor.word()))
}

fn resolve<'a>(asked: Asked<'a>, item: &Selector) -> Result<Vec<Picked<'a>>, GpuProblem> {
    if let Pick::Mig { gpu, instance, compute } = &item.pick {
        let parent = Selector { pick: gpu.as_ref().clone(), ..item.clone() };
        let gpu = *whole(asked, &parent)?.first().ok_or_else(|| no_such(asked, item))?;
        return Ok(vec![self::instance(gpu, *instance, *compute)?]);
    }
    if let Pick::MigUuid(uuid) = &item.pick {
        return Ok(vec![by_mig_uuid(asked, uuid)?]);
    }
    let gpus = whole(asked, item)?;
    if let Some(gpu) = gpus.iter().find(|gpu| gpu.excluded) {
        return Err(GpuProblem::Fault(gpu.faults(&asked.classes.value).into_iter().next().unwrap_or(Fault::Excluded)));
    }
    // Programs would find nothing to run on, or all that there is.
    let runs = asked.classes.value.has(Class::Compute);
    if let Some(gpu) = gpus.iter().find(|gpu| runs && item.pick != Pick::All && !gpu.mig.is_empty()) {
        let instances = instances(gpu);
        if !instances.is_empty() {
            return Err(GpuProblem::InMigMode { instances });
        }
    }
    Ok(gpus.into_iter().map(Picked::whole).collect())
}

/// The GPUs of a selector, without a part.
fn whole<'a>(asked: Asked<'a>, item: &Selector) -> Result<Vec<&'a Gpu>, GpuProblem> {
    let vendor = match (item.vendor, &item.pick) {
        (None, Pick::Index(_)) => Some(counting_vendor(asked)?),
        (vendor, _) => vendor,
    };
    let mut of_vendor = asked.gpus.gpus.iter().filter(|gpu| vendor.is_none_or(|vendor| gpu.vendor == vendor));
    let found: Vec<_> = match &item.pick {
        Pick::All => of_vendor.filter(|gpu| gpu.index.is_some()).collect(),
        Pick::Index(index) => of_vendor.find(|gpu| gpu.index == Some(*index)).into_iter().collect(),
        Pick::Uuid(start) => return by_uuid(asked, item, of_vendor, start),
        Pick::Pci(bus) => of_vendor.filter(|gpu| gpu.bus == Some(*bus)).collect(),
        Pick::Minor(minor) => of_vendor.find(|gpu| gpu.minor == Some(*minor)).into_iter().collect(),
        Pick::Node(node) => of_vendor.find(|gpu| is_rendered_by(gpu, node)).into_iter().collect(),
        Pick::Mig { .. } | Pick::MigUuid(_) | Pick::Cdi(_) => Vec::new(),
    };
    if found.is_empty() { Err(no_such(asked, item)) } else { Ok(found) }
}

/// What the driver's library said about a MIG UUID.
fn by_mig_uuid<'a>(asked: Asked<'a>, uuid: &str) -> Result<Picked<'a>, GpuProblem> {
    let unknown = |why: Option<String>| GpuProblem::MigUuid { uuid: uuid.to_owned(), why };
    let known = asked.gpus.mig_uuids.iter().find(|(known, _)| known == uuid);
    let (_, slot) = known.ok_or_else(|| unknown(None))?;
    let slot = slot.as_ref().map_err(|why| unknown(Some(why.clone())))?;
    let gpu = asked.gpus.gpus.iter().find(|gpu| gpu.vendor == Vendor::Nvidia && gpu.minor == Some(slot.gpu));
    let gpu = gpu.ok_or_else(|| unknown(Some(format!("it is on a GPU that is not here, minor {}", slot.gpu))))?;
    instance(gpu, slot.instance, slot.compute.unwrap_or_default())
}

fn is_rendered_by(gpu: &Gpu, node: &str) -> bool {
    gpu.render.is_some_and(|render| node == format!("renderD{render}"))
}

/// One UUID, by its beginning. A whole one is never the beginning of another that is meant.
fn by_uuid<'a>(
    asked: Asked<'a>,
    item: &Selector,
    of_vendor: impl Iterator<Item = &'a Gpu>,
    start: &str,
) -> Result<Vec<&'a Gpu>, GpuProblem> {
    let of_vendor: Vec<_> = of_vendor.collect();
    let matching = |gpu: &&&Gpu| {
        gpu.uuid.as_ref().is_some_and(|uuid| uuid.to_ascii_lowercase().starts_with(&start.to_ascii_lowercase()))
    };
    let found: Vec<_> = of_vendor.iter().filter(matching).copied().collect();
    match found.as_slice() {
        [] => {
            let unknown =
                of_vendor.iter().filter(|gpu| gpu.uuid.is_none()).filter_map(|gpu| gpu.bus).collect::<Vec<_>>();
            let problem = no_such(asked, item);
            let vendor = item.vendor.unwrap_or(Vendor::Nvidia);
            Err(if unknown.is_empty() { problem } else { GpuProblem::NoUuid { vendor, unknown } })
        }
        [one] => Ok(vec![one]),
        many => Err(GpuProblem::Ambiguous { meant: many.iter().map(|gpu| gpu.name()).collect() }),
    }
}

/// Whose GPUs an index without a vendor counts.
fn counting_vendor(asked: Asked<'_>) -> Result<Vendor, GpuProblem> {
    if asked.gpus.driver.is_some() {
        return Ok(Vendor::Nvidia);
    }
    let vendors: BTreeSet<_> = automatic(asked).map(|gpu| gpu.vendor).collect();
    match vendors.iter().copied().collect::<Vec<_>>().as_slice() {
        [] => Ok(Vendor::Nvidia),
        [one] => Ok(*one),
        _ => Err(GpuProblem::Mixed { full: automatic(asked).map(full_name).collect() }),
    }
}

fn no_such(asked: Asked<'_>, item: &Selector) -> GpuProblem {
    let fits = |gpu: &&Gpu| item.vendor.is_none_or(|vendor| gpu.vendor == vendor);
    let vendor = item.vendor.or_else(|| counting_vendor(asked).ok()).unwrap_or(Vendor::Nvidia);
    GpuProblem::NoSuch {
        vendor,
        offered: offered(asked).filter(fits).map(|gpu| listed_as(gpu, item)).collect(),
        excluded: excluded(asked),
    }
}

/// A GPU as the form of a selector would name it.
fn listed_as(gpu: &Gpu, item: &Selector) -> String {
    let own = match &item.pick {
        Pick::Uuid(_) => gpu.uuid.clone(),
        Pick::Pci(_) => gpu.bus.map(|bus| format!("pci:{bus}")),
        Pick::Minor(_) => gpu.minor.map(|minor| format!("minor:{minor}")),
        Pick::Node(_) => gpu.render.map(|render| format!("renderD{render}")),
        Pick::All | Pick::Index(_) | Pick::Mig { .. } | Pick::MigUuid(_) | Pick::Cdi(_) => None,
    };
    own.unwrap_or_else(|| gpu.name())
}

/// The selectors of a GPU's compute instances.
pub(super) fn instances(gpu: &Gpu) -> Vec<String> {
    let of = |mig: &MigInstance| {
        let ids = mig.compute.iter().map(|compute| compute.id);
        ids.map(|compute| format!("mig:{}/{}/{compute}", gpu.name(), mig.id)).collect::<Vec<_>>()
    };
    gpu.mig.iter().flat_map(of).collect()
}

/// One compute instance of a GPU.
pub(super) fn instance(gpu: &Gpu, instance: u32, compute: u32) -> Result<Picked<'_>, GpuProblem> {
    let none = || GpuProblem::NoInstance { gpu: gpu.name(), minor: gpu.minor, instances: instances(gpu) };
    let mut part = gpu.mig.iter().find(|mig| mig.id == instance).ok_or_else(none)?.clone();
    part.compute.retain(|known| known.id == compute);
    if part.compute.is_empty() {
        return Err(none());
    }
    Ok(Picked { gpu, instances: vec![part], names: vec![format!("mig:{}/{instance}/{compute}", gpu.name())] })
}

/// Sorts what is fit for use from what is not.
fn check<'a>(asked: Asked<'a>, picked: Vec<Picked<'a>>, selection: &mut Selection<'a>) {
    let classes = &asked.classes.value;
    let vendors: BTreeSet<_> = picked.iter().map(|picked| picked.gpu.vendor).collect();
    let mut stopped = BTreeSet::new();
    for vendor in vendors.into_iter().map(Some).chain(picked.first().map(|_| None)) {
        let of_vendor = picked.iter().filter(|picked| vendor.is_none_or(|vendor| picked.gpu.vendor == vendor));
        let names: Vec<_> = of_vendor.flat_map(|picked| picked.names.clone()).collect();
        for fault in asked.gpus.shared_faults(vendor, classes) {
            selection.errors.push(asked.error(names.clone(), GpuProblem::Fault(fault)));
            stopped.insert(vendor);
        }
    }
    for picked in picked {
        let stopped = stopped.contains(&Some(picked.gpu.vendor)) || stopped.contains(&None);
        let faults = picked.gpu.faults_of(classes, &picked.instances);
        // Where a shared node stops every GPU, notes on each of them would only bury that.
        if !(stopped && asked.is_auto()) {
            let error = |fault: &Fault| asked.error(picked.names.clone(), GpuProblem::Fault(fault.clone()));
            selection.errors.extend(faults.iter().map(error));
        }
        if faults.is_empty() && !stopped {
            selection.usable.push(picked);
        }
    }
    let used = |node: &&Node| {
        let of = |vendor| selection.usable.iter().any(|picked| picked.gpu.vendor == vendor);
        !selection.usable.is_empty() && node.row.vendor.is_none_or(of) && classes.has(node.row.class)
    };
    selection.shared = asked.gpus.shared.iter().filter(used).collect();
}
