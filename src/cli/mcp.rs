//! `ringfence mcp`: becomes `ringfence-mcp`, a program of its own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;

use super::report::{Problem, problems};

/// The server's program.
const PROGRAM: &str = "ringfence-mcp";

/// Options of `mcp`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct McpArgs {
    /// Options of ringfence-mcp.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    words: Vec<OsString>,
}

/// Becomes the server that lies beside this program; the result is the exit code where there is none.
pub fn mcp(args: McpArgs) -> i32 {
    let beside = std::env::current_exe().map(|own| own.with_file_name(PROGRAM));
    let error = match beside {
        Ok(program) => match Command::new(&program).args(args.words).exec() {
            error if error.kind() == std::io::ErrorKind::NotFound => {
                let what = format!("the server is a program of its own, and there is no `{}`", program.display());
                let hint = Some(format!("install it beside this one: cargo install {PROGRAM}"));
                return problems(&[Problem::new(what, hint)]);
            }
            error => format!("start `{}`: {error}", program.display()),
        },
        Err(error) => format!("find this program: {error}"),
    };
    problems(&[Problem::new(error, None)])
}
