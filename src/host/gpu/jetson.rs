//! The GPU of a Jetson, whose nodes NVIDIA lists in files of its own.

use std::path::{Path, PathBuf};

use super::node::{Looker, look_at};
use super::rows::{Class, Number, Row, Scope, Vendor, never};
use super::{Gpu, Look};

/// Tells the version of the board's software.
const RELEASE: &str = "/etc/nv_tegra_release";
const FAMILY: &str = "/sys/devices/soc0/family";

/// What NVIDIA's container runtime brings into containers, `dev, /dev/nvmap` a line.
///
/// Source: NVIDIA Container Toolkit, the csv mode.
pub(super) const LISTS: &str = "/etc/nvidia-container-runtime/host-files-for-container.d";

/// The row of every node that those files list.
pub(super) const ROWS: &[Row] = &[Row {
    vendor: Some(Vendor::Jetson),
    path: "/dev/nvmap, /dev/nvhost-*, /dev/nvgpu/*",
    number: Number::Unknown,
    scope: Scope::Device,
    needed_for: "the GPU of the board",
    class: Class::Utility,
    // Of those lists, a board has some and lacks others.
    required: false,
    source: "NVIDIA Container Toolkit: the dev lines of host-files-for-container.d/*.csv",
}];

/// The one GPU, with the nodes of the lists that exist; two failed look-ups elsewhere.
pub(super) fn probe(looker: Looker<'_>, look: &Look<'_>) -> Option<Gpu> {
    let is_tegra = |text: String| text.trim() == "Tegra";
    if !look.means(Vendor::Jetson)
        || super::read(looker.root, RELEASE).is_none() && !super::read(looker.root, FAMILY).is_some_and(is_tegra)
    {
        return None;
    }
    let row = ROWS.first()?;
    let exists = |path: &PathBuf| looker.nodes.node(path).is_some();
    let nodes = listed(looker.root).into_iter().filter(exists);
    Some(Gpu {
        index: Some(0),
        model: super::read(looker.root, "/proc/device-tree/model").map(|text| text.trim_end_matches('\0').to_owned()),
        nodes: nodes.map(|path| look_at(looker, row, path)).collect(),
        ..Gpu::of(Vendor::Jetson)
    })
}

/// Paths below `/dev` of the `dev` lines, each once; everything else in the lists is libraries.
fn listed(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = super::names(root, LISTS).into_iter().filter(|name| name.ends_with(".csv")).collect();
    files.sort();
    let texts = files.iter().filter_map(|file| super::read(root, &format!("{LISTS}/{file}")));
    let mut paths: Vec<PathBuf> = Vec::new();
    for text in texts {
        for path in text.lines().filter_map(device) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

fn device(line: &str) -> Option<PathBuf> {
    let (kind, path) = line.split_once(',')?;
    let path = Path::new(path.trim());
    let plain = path.components().all(|part| part != std::path::Component::ParentDir);
    let known = kind.trim() == "dev" && plain && never(path).is_none();
    (known && path.starts_with("/dev") && path != Path::new("/dev")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nodes_below_dev_count() {
        let table = [
            ("dev, /dev/nvmap", Some("/dev/nvmap")),
            (" dev ,/dev/nvgpu/igpu0/ctrl ", Some("/dev/nvgpu/igpu0/ctrl")),
            ("lib, /usr/lib/libcuda.so", None),
            ("dev, /dev/../etc/shadow", None),
            ("dev, /dev", None),
            ("dev, nvmap", None),
            ("dev, /dev/mem", None),
            ("dev, /dev/nvidia-nvswitchctl", None),
            ("dev, /dev/nvidia-vgpuctl", None),
            ("dev, /dev/nvidia-caps/nvidia-cap1", None),
            ("dev, /dev/nvidia-caps/nvidia-cap12", Some("/dev/nvidia-caps/nvidia-cap12")),
            ("dev, /dev/memory_bandwidth", Some("/dev/memory_bandwidth")),
            ("# dev /dev/nvmap", None),
            ("", None),
        ];
        for (line, want) in table {
            assert_eq!(device(line), want.map(PathBuf::from), "{line}");
        }
    }
}
