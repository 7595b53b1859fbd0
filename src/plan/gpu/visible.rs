//! What a scheduler allotted, by the variables that it set: the sandbox can reach these GPUs and no others, by the
//! kernel and not by a hint.
//!
//! Inside, a program counts the GPUs that it sees. So lists of indices are written anew: as UUIDs, or not at all.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::Asked;
use super::env::{EnvChange, value};
use super::error::GpuProblem;
use super::select::{automatic, offered};
use crate::host::gpu::{Gpu, NodeState, Scope, Vendor};

/// What was allotted.
#[derive(Default)]
pub(super) struct Allotment<'a> {
    /// In the order of the variable that chose last.
    pub(super) gpus: Vec<&'a Gpu>,
    pub(super) env: Vec<EnvChange>,
    pub(super) notes: Vec<String>,
    /// What could not be followed.
    pub(super) refused: Vec<GpuProblem>,
}

/// Slurm's: numbers in the names of device files, of the step and of the whole job.
///
/// Source: srun(1), OUTPUT ENVIRONMENT VARIABLES: global ids, not relative to a device cgroup.
const SLURM: &[&str] = &["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"];

/// Set in every job, whatever was allotted.
const IN_SLURM: &str = "SLURM_JOB_ID";

/// For each vendor, who narrows: the runtime of a container first, then what programs choose by, in which each counts
/// what the one before left.
const CHOOSERS: &[(Vendor, &[&str])] = &[
    (Vendor::Nvidia, &["NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"]),
    (Vendor::Amd, &["ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"]),
];

/// Follows the variables for every vendor; where none says anything, all that is offered.
pub(super) fn allotted(asked: Asked<'_>) -> Allotment<'_> {
    let mut found = Allotment::default();
    let vendors: BTreeSet<_> = automatic(asked).map(|gpu| gpu.vendor).collect();
    // Slurm does not say whose GPUs it counts: those of the vendor that there is, NVIDIA's first.
    let slurms = vendors.first().copied();
    for vendor in vendors {
        let mut scope = Scoped::of(asked, vendor);
        let choosers = CHOOSERS.iter().find(|(of, _)| *of == vendor).map_or(&[][..], |(_, variables)| variables);
        if slurms == Some(vendor) {
            scope.follow_slurm();
        }
        scope.without_allotment(choosers);
        for variable in choosers {
            scope.follow(variable);
        }
        let Scoped { gpus, chosen_by, notes, refused, .. } = scope;
        if let Some(variable) = chosen_by.filter(|_| !gpus.is_empty()) {
            found.env.extend(rewritten(asked, variable, vendor, &gpus));
        }
        found.notes.extend(notes);
        found.refused.extend(refused);
        found.gpus.extend(gpus);
    }
    found
}

/// The variables by which a program chooses, as they are right inside, where it counts what is granted.
///
/// Where all are granted nothing changes. Some in the order of the bus are what a program sees without any; another order
/// is said in UUIDs, which not every framework can read, where each GPU has its own.
fn rewritten(asked: Asked<'_>, variable: &'static str, vendor: Vendor, gpus: &[&Gpu]) -> Vec<EnvChange> {
    let places: Vec<_> = gpus.iter().map(|gpu| gpu.index).collect();
    let all = offered(asked).filter(|gpu| gpu.vendor == vendor).count() == gpus.len();
    let in_order = places.is_sorted();
    let text = value(asked.env, variable).unwrap_or_default();
    if all || !text.split(',').any(|word| word.trim().parse::<u32>().is_ok()) {
        return Vec::new();
    }
    let note = "it counted GPUs of the host, and inside are only those that it chose".to_owned();
    let out = EnvChange { name: variable.into(), value: None, note };
    let own: Option<Vec<_>> = gpus.iter().map(|gpu| gpu.uuid.clone().filter(|_| is_one(gpu))).collect();
    let Some(ids) = own.filter(|_| !in_order) else { return vec![out] };
    let note = format!("{variable}={text} in UUIDs, which mean the same inside");
    // HIP counts what ROCr leaves.
    let chooser = if vendor == Vendor::Amd { "ROCR_VISIBLE_DEVICES" } else { variable };
    let set = EnvChange { name: chooser.into(), value: Some(OsString::from(ids.join(","))), note };
    if chooser == variable { vec![set] } else { vec![out, set] }
}

/// Whether its UUID means it alone and as a whole.
fn is_one(gpu: &Gpu) -> bool {
    gpu.partition.is_none() && gpu.mig.is_empty()
}

/// GPUs of one vendor, as one variable after the other narrows them.
struct Scoped<'a> {
    asked: Asked<'a>,
    vendor: Vendor,
    gpus: Vec<&'a Gpu>,
    /// The ids that Slurm gave: what counts later may count by them too.
    ids: Vec<u32>,
    chosen_by: Option<&'static str>,
    notes: Vec<String>,
    refused: Vec<GpuProblem>,
}

impl<'a> Scoped<'a> {
    fn of(asked: Asked<'a>, vendor: Vendor) -> Self {
        let gpus = offered(asked).filter(|gpu| gpu.vendor == vendor).collect();
        let (ids, notes, refused) = (Vec::new(), Vec::new(), Vec::new());
        Self { asked, vendor, gpus, ids, chosen_by: None, notes, refused }
    }

    fn follow_slurm(&mut self) {
        let set = SLURM.iter().find_map(|name| Some((*name, value(self.asked.env, name)?)));
        let Some((variable, text)) = set else { return };
        let ids: Option<Vec<u32>> = ranges(&text);
        let by_id = |id: &u32| self.gpus.iter().copied().find(|gpu| has_slurm_id(gpu, *id));
        match ids.as_ref().map(|ids| ids.iter().map(by_id).collect::<Option<Vec<_>>>()) {
            Some(Some(gpus)) => {
                self.notes.push(format!("{variable}={text} decides which GPUs there are"));
                self.gpus = gpus;
                self.ids = ids.unwrap_or_default();
            }
            _ => self.refuse(variable, &text, "it names a GPU that is not here"),
        }
    }

    /// A job that asked Slurm for no GPU is told nothing about GPUs, and those that there are may be other jobs'.
    fn without_allotment(&mut self, choosers: &[&'static str]) {
        let env = self.asked.env;
        let told = SLURM.iter().any(|name| value(env, name).is_some())
            || choosers.iter().any(|variable| self.said(variable).is_some());
        if value(env, IN_SLURM).is_some() && !told {
            self.gpus = Vec::new();
            self.notes.push(format!("{IN_SLURM} is set and SLURM_JOB_GPUS is not: the job was given no GPU"));
        }
    }

    /// What cannot be followed stops a demand; without one nothing is granted that may be somebody else's.
    fn refuse(&mut self, variable: &'static str, text: &str, why: &'static str) {
        self.gpus = Vec::new();
        self.refused.push(GpuProblem::Allotment { variable, value: text.to_owned(), why });
    }

    fn follow(&mut self, variable: &'static str) {
        let Some((variable, text)) = self.said(variable) else { return };
        let words: Vec<_> = text.split(',').map(str::trim).collect();
        match words.as_slice() {
            // The container runtime's words for "no part of mine".
            ["all" | "" | "void" | "none"] if variable == "NVIDIA_VISIBLE_DEVICES" => {}
            // CUDA's own for none: an empty list, or one that begins with what is no GPU.
            ["" | "NoDevFiles", ..] => self.choose_none(variable, &text),
            [first, ..] if first.starts_with('-') => self.choose_none(variable, &text),
            words => self.choose(variable, &text, words),
        }
    }

    /// HIP takes CUDA's variable where its own is not set.
    fn said(&self, variable: &'static str) -> Option<(&'static str, String)> {
        let own = value(self.asked.env, variable).map(|text| (variable, text));
        let cuda = || value(self.asked.env, "CUDA_VISIBLE_DEVICES").map(|text| ("CUDA_VISIBLE_DEVICES", text));
        own.or_else(|| cuda().filter(|_| variable == "HIP_VISIBLE_DEVICES" && !self.asked.gpus.has(Vendor::Nvidia)))
    }

    fn choose_none(&mut self, variable: &'static str, text: &str) {
        self.gpus = Vec::new();
        self.notes.push(format!("{variable}={text} chooses no GPU"));
    }

    fn choose(&mut self, variable: &'static str, text: &str, words: &[&str]) {
        if words.iter().any(|word| word.starts_with("MIG-")) {
            if self.asked.is_auto() {
                self.notes.push(format!("{variable}={text} names MIG instances, so it stays and hides nothing"));
                return;
            }
            return self.refuse(variable, text, "it names MIG instances, which are granted by `--gpu MIG-UUID`");
        }
        let counts = words.iter().any(|word| word.parse::<u32>().is_ok());
        if counts && variable == "CUDA_VISIBLE_DEVICES" && !self.is_counted_by_place() {
            let why = "CUDA counts the fastest first: set CUDA_DEVICE_ORDER=PCI_BUS_ID";
            if self.asked.is_auto() {
                // Inside it means what it meant outside, as long as all are there.
                self.notes.push(format!("{variable}={text} cannot be followed, so it stays and hides nothing: {why}"));
                return;
            }
            return self.refuse(variable, text, why);
        }
        let mut chosen: Vec<&Gpu> = Vec::new();
        for word in words {
            match self.find(variable, word, words) {
                Some(gpu) if !chosen.iter().any(|known| std::ptr::eq(*known, gpu)) => chosen.push(gpu),
                Some(_) => {}
                // As CUDA has it.
                None if self.asked.is_auto() => break,
                None => return self.refuse(variable, text, "it names a GPU that is not here"),
            }
        }
        self.notes.push(format!("{variable}={text} decides which GPUs there are"));
        self.gpus = chosen;
        self.ids = Vec::new();
        self.chosen_by = (variable != "NVIDIA_VISIBLE_DEVICES").then_some(variable);
    }

    /// Whether the order in which CUDA counts is known: it is that of the bus when it is told so, and among equals.
    fn is_counted_by_place(&self) -> bool {
        let told = value(self.asked.env, "CUDA_DEVICE_ORDER").is_some_and(|order| order == "PCI_BUS_ID");
        let same = |pair: &[&Gpu]| matches!(pair, [a, b] if a.model == b.model);
        told || self.vendor != Vendor::Nvidia || self.gpus.windows(2).all(same)
    }

    fn find(&self, variable: &str, word: &str, words: &[&str]) -> Option<&'a Gpu> {
        let Ok(number) = word.parse::<u32>() else { return self.by_uuid(word) };
        // Where Slurm keeps the others away by a device cgroup, programs count what is left; elsewhere they are given
        // Slurm's own numbers.
        let is_id = |word: &&str| word.parse().is_ok_and(|number: u32| self.ids.contains(&number));
        if words.iter().all(is_id) {
            return self.gpus.iter().copied().find(|gpu| has_slurm_id(gpu, number));
        }
        let counted: Vec<_> = match variable {
            // By the runtime, outside of the container.
            "NVIDIA_VISIBLE_DEVICES" => return self.gpus.iter().copied().find(|gpu| gpu.index == Some(number)),
            _ => self.gpus.iter().copied().filter(|gpu| is_there(gpu)).collect(),
        };
        counted.get(usize::try_from(number).ok()?).copied()
    }

    fn by_uuid(&self, word: &str) -> Option<&'a Gpu> {
        let start = word.to_ascii_lowercase();
        let starts = |gpu: &&&Gpu| gpu.uuid.as_ref().is_some_and(|uuid| uuid.to_ascii_lowercase().starts_with(&start));
        let mut found = self.gpus.iter().filter(starts);
        found.next().copied().filter(|_| word.len() > "GPU-".len() && found.next().is_none())
    }
}

/// What has no node of its own is not counted: a container hides it.
fn is_there(gpu: &Gpu) -> bool {
    gpu.nodes
        .iter()
        .filter(|node| matches!(node.row.scope, Scope::Device | Scope::Render))
        .any(|node| node.state != NodeState::Absent)
}

/// Slurm's number of a GPU is that in the name of its device file; of those with render nodes it may be the position.
fn has_slurm_id(gpu: &Gpu, id: u32) -> bool {
    match gpu.minor {
        Some(minor) => minor == id,
        None => gpu.index == Some(id) || gpu.render == Some(id),
    }
}

/// `0,1` and `0-3`.
fn ranges(text: &str) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // No machine has more; a longer range is no list of GPUs.
        if last < first || last - first > 1024 {
            return None;
        }
        found.extend(first..=last);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn lists_of_slurm() {
        for (text, want) in [
            ("0", Some(vec![0])),
            ("0,2", Some(vec![0, 2])),
            ("0-2,5", Some(vec![0, 1, 2, 5])),
            ("", None),
            ("2-0", None),
            ("0-4000000000", None),
            ("a", None),
        ] {
            assert_eq!(ranges(text), want, "{text}");
        }
    }
}
