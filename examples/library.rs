//! Runs commands in a sandbox from a program of your own: `cargo run --example library`.
#![allow(clippy::print_stdout, reason = "an example prints what it shows")]

use std::io::{BufRead, BufReader, Error};
use std::process::Stdio;

use ringfence::{Gpu, Sandbox};

fn main() -> std::io::Result<()> {
    // This program is its own helper: no `ringfence` needs to be installed. First thing, before any thread starts.
    ringfence::dispatch();

    let workspace = std::env::temp_dir().join(format!("ringfence-example-{}", std::process::id()));
    std::fs::create_dir(&workspace)?;
    let sandbox = Sandbox::workspace_write(&workspace).gpu(Gpu::Auto);

    // One command from start to end.
    let output = sandbox.command("sh").args(["-c", "echo made inside > made.txt && cat made.txt"]).output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));

    // One that is read from while it runs.
    let script = "for n in 1 2 3; do echo line $n; done; touch /etc/planted";
    let mut child = sandbox.command("sh").args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let lines = child.stdout.take().ok_or_else(|| Error::other("standard output is a pipe"))?;
    for line in BufReader::new(lines).lines() {
        println!("{}", line?);
    }
    println!("writing to /etc: {}", child.wait()?);

    // What would be done, and why.
    let plan = sandbox.command("true").plan()?;
    println!("the plan has {} lines", plan.lines().count());
    std::fs::remove_dir_all(&workspace)
}
