//! How a release is linked: by `sections.ld` and `start.order`, without what is there to unwind, with relocations packed and
//! functions that came out the same kept once. That saves an eighth of its size, half of its memory and a tenth of its start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::variable;

/// Relocations that a C library before glibc 2.36 does not know.
const PACKED: &str = "-z,pack-relative-relocs";

/// What linkers are asked for, the most that they may know first: `--icf` is lld's.
const WISHES: &[&[&str]] = &[
    &["--no-eh-frame-hdr", PACKED, "-O2", "--icf=all"],
    &["--no-eh-frame-hdr", "-O2", "--icf=all"],
    &["--no-eh-frame-hdr", PACKED],
    &["--no-eh-frame-hdr"],
];

/// Prints what cargo is to pass to the linker.
pub(super) fn lay_out() -> Result<(), String> {
    for input in ["link/layout.rs", "link/sections.ld", "link/start.order"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found.split(',').any(|found| found == value));
    let is_static = is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_FEATURE", "crt-static");
    if !is_static || !is("PROFILE", "release") {
        return Ok(());
    }
    let directory = PathBuf::from(variable("OUT_DIR")?);
    let script = directory.join("start.ld");
    fs::write(&script, whole()?).map_err(|error| format!("write {}: {error}", script.display()))?;
    let script = format!("-T,{}", script.display());
    let foreign = env::var_os("HOST") != env::var_os("TARGET");
    // What cannot be started here is linked as any C library can start it.
    let wishes = WISHES.iter().filter(|wish| !foreign || !wish.contains(&PACKED));
    let mut refusals = String::new();
    for wish in wishes.map(|wish| [*wish, &[script.as_str()]].concat()) {
        match try_out(&directory, &wish, foreign) {
            Ok(()) => {
                wish.iter().for_each(|word| println!("cargo::rustc-link-arg-bins=-Wl,{word}"));
                return Ok(());
            }
            Err(why) => refusals = why,
        }
    }
    let first = refusals.lines().find(|line| line.contains("error")).unwrap_or_default();
    println!(
        "cargo::warning=the linker does not take link/sections.ld: the program becomes larger and slower to start ({first})"
    );
    Ok(())
}

/// The script, with the functions in their place; what is marked cold is in sections of its own, and copies have numbers.
fn whole() -> Result<String, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"));
    let place = |name: &str| format!("*(.text.{name} .text.{name}.* .text.unlikely.{name} .text.unlikely.{name}.*)\n");
    let functions: String = read("link/start.order")?.lines().map(place).collect();
    Ok(read("link/sections.ld")?.replace("START\n", &functions))
}

/// Whether a program of one line can be linked so and, where it can be run here, starts.
fn try_out(directory: &Path, wish: &[&str], foreign: bool) -> Result<(), String> {
    let (source, program) = (directory.join("trial.rs"), directory.join("trial"));
    fs::write(&source, "fn main() { std::thread::spawn(|| {}).join().unwrap() }").map_err(|error| error.to_string())?;
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc.args(["--edition=2024", "-C", "panic=abort", "--target"]).arg(variable("TARGET")?);
    // The linker that the user may have named is among them.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    if let Some(linker) = env::var("RUSTC_LINKER").ok().filter(|linker| !linker.is_empty()) {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.args(wish.iter().flat_map(|word| ["-C".to_owned(), format!("link-arg=-Wl,{word}")]));
    let linked = rustc.arg(&source).arg("-o").arg(&program).output().map_err(|error| format!("error: {error}"))?;
    if !linked.status.success() {
        return Err(String::from_utf8_lossy(&linked.stderr).into_owned());
    }
    let started = foreign || Command::new(&program).status().is_ok_and(|status| status.success());
    if started { Ok(()) } else { Err(format!("error: what it links does not start ({})", wish.join(" "))) }
}
