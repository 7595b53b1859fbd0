//! GPU wishes on fixture machines: data in, text out. `tests/hosts/<name>` is the root of a machine.

mod broken;
mod env;
mod lab;
mod show;
mod wishes;
