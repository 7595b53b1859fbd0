//! `ringfence --help`: the commands by what people want, and `--version` with all that a report of a fault needs.

use std::fmt::Write as _;
use std::path::Path;

use clap::Command;
use clap::builder::styling::Style;

use super::doctor::trial::{self, Trial};
use super::report::print;
use crate::host::paths::Root;
use crate::host::{bwrap, kernel};

/// The commands by what people want, in the order of the page. A test fails while a command is missing here.
const GROUPS: &[(&str, &[&str])] = &[
    ("Run", &["run", "session", "exec"]),
    ("Look before", &["plan", "why", "gpus", "doctor"]),
    ("Policies", &["profiles", "init", "learn", "convert"]),
    ("For other programs", &["mcp", "oci", "completions", "codex-linux-sandbox"]),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("ringfence run --write ~/data -- make", "what it may write, and no network"),
    ("ringfence plan --gpu 0 -- ./train", "what one GPU would open, and why"),
];

/// What the short help of commands that take the options of `run` ends with.
pub const MORE: &str = "These are the options that most people need; --help has all.";

/// Gives a command whose subcommands are complete the page that groups them.
pub fn grouped(command: Command) -> Command {
    let page = page(&command);
    command.help_template(page)
}

fn page(command: &Command) -> String {
    let (header, literal) = (*command.get_styles().get_header(), *command.get_styles().get_literal());
    let width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or(0);
    let mut page = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (title, names) in GROUPS {
        page += &heading(title, header);
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            page += &row(name, width, &about.unwrap_or_default(), literal);
        }
    }
    page += &heading("Options", header);
    page += "{options}\n";
    page += &heading("Examples", header);
    let width = EXAMPLES.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    for (line, means) in EXAMPLES {
        page += &row(line, width, means, Style::new());
    }
    page + "\nringfence COMMAND -h shows the options of a command."
}

fn heading(title: &str, style: Style) -> String {
    format!("\n{style}{title}:{style:#}\n")
}

fn row(name: &str, width: usize, about: &str, style: Style) -> String {
    format!("  {style}{name}{style:#}{:pad$}  {about}\n", "", pad = width.saturating_sub(name.len()))
}

/// Prints the version; with all, also what it was built from and what it finds here.
pub fn version(all: bool) -> i32 {
    let mut text = format!("ringfence {}\n", env!("CARGO_PKG_VERSION"));
    if all {
        if let Some(commit) = option_env!("RINGFENCE_COMMIT") {
            line(&mut text, "commit", commit);
        }
        line(&mut text, "target", env!("RINGFENCE_TARGET"));
        line(&mut text, "kernel", &rustix::system::uname().release().to_string_lossy());
        let abi = match kernel::landlock_abi() {
            0 => "none".to_owned(),
            abi => format!("ABI {abi}"),
        };
        line(&mut text, "landlock", &abi);
        line(&mut text, "engines", &engines().join(", "));
    }
    print(&text);
    0
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{name}: {value}");
}

/// The engines that could be used here, by their words in `--backend`. The native one is tried.
fn engines() -> Vec<String> {
    let native = (trial::sandbox() == Trial::Works).then(|| "native".to_owned());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = Root::open(Path::new("/")).ok().and_then(|root| bwrap::find(&root, &path, &[]));
    let bwrap = found.map(|bwrap| {
        let version = trial::version_of(&bwrap.path).map(|version| format!(" {version}")).unwrap_or_default();
        format!("bwrap{version} ({})", bwrap.path.display())
    });
    let landlock = (kernel::landlock_abi() > 0).then(|| "landlock".to_owned());
    let found: Vec<_> = [native, bwrap, landlock].into_iter().flatten().collect();
    if found.is_empty() { vec!["none; ringfence doctor tells why".to_owned()] } else { found }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_command_stands_in_one_group() {
        let command = crate::cli::command_line();
        let named: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let there: BTreeSet<_> =
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| sub.get_name()).collect();
        assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), there);
        assert_eq!(named.len(), there.len(), "a command stands in one group only");
    }

    #[test]
    fn the_page_fits_on_a_screen() {
        let page = crate::cli::command_line().render_help().to_string();
        let widest = page.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?}\n{page}");
        assert!(page.lines().count() <= 40, "{}\n{page}", page.lines().count());
        for wanted in ["Look before:", "  plan ", "Examples:", "ringfence run --write ~/data -- make", "--version"] {
            assert!(page.contains(wanted), "{wanted}\n{page}");
        }
    }

    #[test]
    fn the_short_help_of_run_fits_on_a_screen_and_the_long_one_has_all() {
        let mut command = crate::cli::command_line();
        command.build();
        let run = command.find_subcommand_mut("run").expect("the command");
        let (short, long) = (run.render_help().to_string(), run.render_long_help().to_string());
        let options = |text: &str| text.lines().filter(|line| line.trim_start().starts_with('-')).count();
        assert!(short.lines().count() <= 46, "{}\n{short}", short.lines().count());
        assert!(options(&short) + 20 < options(&long), "{} {}", options(&short), options(&long));
        for heading in ["Files", "GPUs and devices", "Network", "Environment", "Limits", "Engine", "Output"] {
            assert!(short.contains(&format!("\n{heading}:\n")), "{heading} {short}");
        }
        assert!(short.contains(MORE) && !long.contains(MORE));
        assert!(!short.contains("--openshell-compat") && long.contains("--openshell-compat"));
    }
}
