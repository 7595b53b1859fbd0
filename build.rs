//! Builds the driver loader of `loader/`, which `src/host/gpu/loader.rs` carries inside. It must be linked dynamically
//! and `ringfence` must not, so it is no target of this package, whose targets all get the same flags. And tells the linker
//! how a release is laid out.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

#[path = "link/layout.rs"]
mod layout;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=loader");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    println!("cargo::rustc-env=RINGFENCE_TARGET={}", env::var("TARGET").unwrap_or_default());
    if env::var("PROFILE").as_deref() == Ok("release")
        && let Some(commit) = commit()
    {
        println!("cargo::rustc-env=RINGFENCE_COMMIT={commit}");
    }
    if let Err(why) = build().and_then(|()| layout::lay_out()) {
        for line in why.lines() {
            println!("cargo::error={line}");
        }
    }
}

/// The commit that a release is built from, where this is a repository of its own and git is there.
fn commit() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let inputs = [".git/HEAD", ".git/refs/heads", "src", "Cargo.toml", "Cargo.lock"];
    for input in inputs.into_iter().filter(|input| Path::new(input).exists()) {
        println!("cargo::rerun-if-changed={input}");
    }
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", "src", "loader", "build.rs", "Cargo.toml", "Cargo.lock"])?;
    let changed = if changed.is_empty() { "" } else { ", with changes" };
    Some(format!("{}{changed}", hash.trim()))
}

fn build() -> Result<(), String> {
    let target = variable("TARGET")?.into_string().map_err(|_| "TARGET is no text")?;
    let output = PathBuf::from(variable("OUT_DIR")?).join("driver-loader");
    let mut refusals = String::new();
    for target in targets(&target) {
        let mut rustc = Command::new(variable("RUSTC")?);
        rustc.args(["--edition=2024", "--crate-name=driver_loader", "--crate-type=bin", "--target", &target]);
        rustc.args([
            "-C",
            "target-feature=-crt-static",
            "-C",
            "panic=abort",
            "-C",
            "opt-level=z",
            "-C",
            "lto=fat",
            "-C",
            "strip=symbols",
        ]);
        if let Some(linker) = env::var_os("RUSTC_LINKER").filter(|linker| !linker.is_empty()) {
            let mut option = OsString::from("linker=");
            option.push(linker);
            rustc.arg("-C").arg(option);
        }
        let built = rustc.arg("loader/main.rs").arg("-o").arg(&output).output();
        match built {
            Ok(built) if built.status.success() => return Ok(()),
            Ok(built) => refusals += &format!("for {target}: {}\n", String::from_utf8_lossy(&built.stderr).trim_end()),
            Err(error) => refusals += &format!("for {target}: start rustc: {error}\n"),
        }
    }
    Err(format!(
        "the driver loader (loader/main.rs) cannot be built: it is a small program that is linked dynamically, and needs a \
         linker and the C library's development files of the target\n{refusals}"
    ))
}

/// For whom the loader is built: for the C library that the drivers' libraries are made for, which is glibc, also where
/// `ringfence` itself is built with musl; else for the target as it is.
fn targets(target: &str) -> Vec<String> {
    let of_glibc = target.strip_suffix("-musl").map(|rest| format!("{rest}-gnu"));
    of_glibc.into_iter().chain([target.to_owned()]).collect()
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo has not set {name}"))
}
