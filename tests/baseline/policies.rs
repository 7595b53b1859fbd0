//! The policies of the tests.

pub const GPU_TRAIN: &str = include_str!("../openshell/valid-gpu-train.yaml");
pub const NET_MIXED: &str = include_str!("../openshell/valid-net-mixed.yaml");
pub const RO_PROC: &str = include_str!("../openshell/valid-user-ro-proc.yaml");

/// Everything but what a baseline might want.
pub const PLAIN: &str =
    "version: 1\nfilesystem_policy:\n  include_workdir: true\n  read_only: [/usr, /lib, /lib64, /etc]\n";

/// `/proc` is named, to be read.
pub const PROC_READ: &str =
    "version: 1\nfilesystem_policy:\n  include_workdir: true\n  read_only: [/usr, /lib, /lib64, /etc, /proc]\n";

/// Something below `/proc` is named, to be read.
pub const BELOW_PROC_READ: &str =
    "version: 1\nfilesystem_policy:\n  include_workdir: true\n  read_only: [/usr, /lib, /lib64, /etc, /proc/sys]\n";

/// Both.
pub const PROC_AND_BELOW_READ: &str = "version: 1\nfilesystem_policy:\n  include_workdir: true\n  read_only: [/usr, /lib, /lib64, /etc, /proc, /proc/sys]\n";

/// The directory of all nodes, to be read.
pub const DEV_READ: &str =
    "version: 1\nfilesystem_policy:\n  include_workdir: true\n  read_only: [/usr, /lib, /lib64, /etc, /proc, /dev]\n";

/// A node and shared memory, to be read.
pub const NODES_READ: &str = "version: 1\nfilesystem_policy:\n  include_workdir: true\n  read_only:\n    - /usr\n    - /lib\n    - /lib64\n    - /etc\n    - /dev/nvidiactl\n    - /dev/nvidia0\n    - /dev/shm\n";

/// A network, and `/tmp` to be read. What is reached is left out, and counts as a network all the same.
pub const NET_AND_TMP_READ: &str = "version: 1\nfilesystem_policy:\n  include_workdir: true\n  read_only: [/srv/datasets, /tmp]\nnetwork_policies:\n  a: {endpoints: [{host: a.example.com, port: 443}], binaries: [{path: /usr/bin/true}]}\n";

/// A network and no path at all.
pub const NET_ONLY: &str = "version: 1\nfilesystem_policy:\n  include_workdir: true\nnetwork_policies:\n  a: {endpoints: [{host: a.example.com, port: 443}], binaries: [{path: /usr/bin/true}]}\n";
