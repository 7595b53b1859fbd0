//! The cases, a file for each class.

mod denied;
mod descriptors;
mod devices;
mod foreign;
mod leftovers;
mod metadata;
mod namespaces;
mod paths;
mod processes;
mod shared;
mod sockets;
mod starts;
mod terminals;

use crate::case::Case;

/// A class: its name, and what is in it.
type Class = (&'static str, fn() -> Vec<Case>);

const CLASSES: &[Class] = &[
    ("paths", paths::cases),
    ("hidden", denied::cases),
    ("descriptors", descriptors::cases),
    ("metadata", metadata::cases),
    ("namespaces", namespaces::cases),
    ("sockets", sockets::cases),
    ("foreign", foreign::cases),
    ("processes", processes::cases),
    ("shared", shared::cases),
    ("terminals", terminals::cases),
    ("devices", devices::cases),
    ("starts", starts::cases),
    ("leftovers", leftovers::cases),
];

pub fn all() -> Vec<Case> {
    let named =
        |(class, cases): &Class| -> Vec<Case> { cases().into_iter().map(|case| Case { class, ..case }).collect() };
    CLASSES.iter().flat_map(named).collect()
}
