//! Hooks: what NVIDIA's would do is done in another way, or is not needed in a sandbox. Others are refused.

use std::path::{Path, PathBuf};

use super::nodes::is_own;
use super::{CdiProblem, Ground, Part, Planner};
use crate::host::gpu::cdi::{Hook, SymlinkWish};
use crate::host::paths::{Kind, PathFact};
use crate::policy::tables::BASE_DEVICES;
use crate::request::Origin;
use crate::request::yaml::Place;

/// What EGL and Vulkan of older drivers must be told where only some GPUs are visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationProfile {
    /// Driver minors of the GPUs that are granted, a bit each.
    pub minors: u64,
    /// Who asked.
    pub because: Origin,
}

impl ApplicationProfile {
    /// The minors as a list.
    #[must_use]
    pub fn minors(&self) -> Vec<u32> {
        (0..u64::BITS).filter(|minor| self.minors >> minor & 1 == 1).collect()
    }
}

impl<'a> Planner<'a> {
    pub(super) fn hooks(&mut self, parts: &[Part<'a>]) {
        for part in parts {
            for edit in &part.edits.hooks {
                match Hook::of(edit) {
                    Ok(hook) => self.hook(part, edit.place, &hook),
                    Err(unknown) => self.fail(part, edit.place, CdiProblem::Hook(unknown)),
                }
            }
        }
    }

    fn hook(&mut self, part: &Part<'a>, place: Place, hook: &Hook) {
        match hook {
            Hook::CreateSymlinks(links) => links.iter().for_each(|wish| self.link(part, place, wish)),
            Hook::UpdateLdcache(folders) => folders.iter().for_each(|folder| self.folder(part, place, folder)),
            // No program in a sandbox can make a node, and none with more rights can be started there.
            Hook::DisableDeviceNodeModification | Hook::Noop => {}
            Hook::UpdateApplicationProfile => self.profile(part, place),
            Hook::EnableCudaCompat => {
                self.note(part, place, "enable-cuda-compat is not needed: it is about libraries in images");
            }
            Hook::Chmod => self.note(part, place, "chmod is not needed: it is about directories of images"),
        }
    }

    fn link(&mut self, part: &Part<'a>, place: Place, wish: &SymlinkWish) {
        let SymlinkWish { target, link } = wish;
        let leads_to = wish.leads_to();
        if let Some(by) = (self.around.denied)(link) {
            self.note(part, place, format!("link {} is left out: it is denied ({by})", link.display()));
            return;
        }
        let in_dev = link.starts_with("/dev");
        if ["/proc", "/sys"].iter().any(|top| link.starts_with(top))
            || in_dev && is_own(link)
            || link == Path::new("/dev")
        {
            self.fail(part, place, CdiProblem::Covers { target: link.clone() });
            return;
        }
        if in_dev && leads_to.starts_with("/dev") && !self.is_node(&leads_to) {
            // What is not granted is absent, and so is its other name.
            return;
        }
        if self.covers_planned(link) || (self.around.ruled_below)(link) && !in_dev {
            self.fail(part, place, CdiProblem::Covers { target: link.clone() });
            return;
        }
        match (self.around.ground)(link) {
            _ if in_dev => {}
            Ground::Anew => {}
            Ground::Shown if self.leads_alike(wish) => return,
            Ground::Shown | Ground::Writable | Ground::Hidden => {
                let (link, target) = (link.display(), target.display());
                self.note(part, place, format!("link {link} to {target} is not made: the sandbox makes nothing there"));
                return;
            }
        }
        let made = (link.clone(), target.clone().into_os_string());
        if !self.plan.links.iter().any(|(link, target, _)| (link, target) == (&made.0, &made.1)) {
            // The later word counts.
            self.plan.links.retain(|(link, ..)| *link != made.0);
            let because = self.because(part, place);
            self.plan.links.push((made.0, made.1, because));
        }
    }

    /// Whether a node that is granted, or is in every sandbox, has this path.
    fn is_node(&self, path: &Path) -> bool {
        self.plan.devices.iter().any(|device| device.path == path)
            || BASE_DEVICES.iter().any(|(base, ..)| path == Path::new(base))
    }

    /// Whether a node, mount or other link of these files is at a path, or lies above it or below.
    fn covers_planned(&self, link: &Path) -> bool {
        let above = |path: &Path| link.starts_with(path) || path.starts_with(link);
        self.plan.devices.iter().any(|device| above(&device.path))
            || self.plan.mounts.iter().any(|mount| above(&mount.target))
            || self.plan.links.iter().any(|(known, ..)| known != link && above(known))
    }

    fn leads_alike(&self, wish: &SymlinkWish) -> bool {
        let place = |path: &Path| match self.specs.paths.get(path) {
            Some(PathFact::Present(present)) => Some(&present.path),
            _ => None,
        };
        let there = place(&wish.link);
        there.is_some() && there == place(&wish.leads_to())
    }

    /// Nothing is run to make a cache: a directory that the host's does not cover is named to the loader.
    fn folder(&mut self, part: &Part<'a>, place: Place, folder: &PathBuf) {
        let mounted = self.plan.mounts.iter().any(|mount| mount.dir && folder.starts_with(&mount.target));
        let known = match self.specs.paths.get(folder) {
            Some(PathFact::Present(present)) if present.kind == Kind::Dir => self.specs.loader.contains(&present.path),
            // What an engine's cache would not find either.
            _ if !mounted => return,
            _ => false,
        };
        if known && !mounted || self.plan.libraries.iter().any(|(path, _)| path == folder) {
            return;
        }
        if let Some(by) = (self.around.denied)(folder) {
            self.note(part, place, format!("libraries in {} are left out: it is denied ({by})", folder.display()));
            return;
        }
        let because = self.because(part, place);
        self.plan.libraries.push((folder.clone(), because));
    }

    fn profile(&mut self, part: &Part<'a>, place: Place) {
        if !(self.around.granted)("graphics") {
            return;
        }
        let minor = |path: &Path| path.to_str()?.strip_prefix("/dev/nvidia")?.parse::<u32>().ok();
        let minors = self.plan.devices.iter().filter_map(|device| minor(&device.path));
        let minors = minors.filter(|minor| *minor < u64::BITS).fold(0, |mask, minor| mask | 1 << minor);
        let because = self.because(part, place);
        self.plan.profile = Some(ApplicationProfile { minors, because });
    }
}
