//! `ringfence completions`: what a shell needs to complete commands, options and their values.

use clap::{Args, ValueEnum};
use clap_complete::{Generator, shells};

use super::report::print;

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    /// source <(ringfence completions bash)
    Bash,
    /// ringfence completions zsh > a file _ringfence in a directory of $fpath
    Zsh,
    /// ringfence completions fish > ~/.config/fish/completions/ringfence.fish
    Fish,
}

/// Prints the script; the result is the exit code.
pub fn completions(args: &CompletionsArgs) -> i32 {
    let script = match args.shell {
        Shell::Bash => script(shells::Bash),
        Shell::Zsh => script(shells::Zsh),
        Shell::Fish => script(shells::Fish),
    };
    print(&script);
    0
}

fn script(shell: impl Generator) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command_line(), super::NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
