//! Writes the manual pages: `cargo run --example man -- DIR` makes `ringfence.1`, and a page for each command.
//!
//! They are no part of the binary, which would be larger by what makes them. Their date is `SOURCE_DATE_EPOCH` or now.
#![allow(clippy::print_stderr, reason = "a program for the terminal")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Command;
use clap_mangen::Man;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("error: where to? cargo run --example man -- DIR");
        return ExitCode::from(2);
    };
    let mut command = ringfence::command_line();
    command.build();
    match write(&command, Path::new(&directory), &date(seconds() / 86400)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: write the pages to `{}`: {error}", Path::new(&directory).display());
            ExitCode::FAILURE
        }
    }
}

/// A page for a command and one for each of its own, but for `help`.
pub fn write(command: &Command, directory: &Path, date: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    // A page has everything, also what the short help leaves out.
    let mut whole = command.clone().mut_args(|arg| arg.hide_short_help(false));
    if whole.find_subcommand("help").is_some() {
        whole = whole.mut_subcommand("help", |help| help.hide(true));
    }
    let subcommands = whole.get_subcommands().any(|sub| !sub.is_hide_set());
    let source = format!("ringfence {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(whole).title(name.to_uppercase()).date(date).source(source).manual("ringfence");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    std::fs::write(directory.join(format!("{name}.1")), page)?;
    command.get_subcommands().filter(|sub| sub.get_name() != "help").try_for_each(|sub| write(sub, directory, date))
}

/// Since 1970.
fn seconds() -> u64 {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    fixed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()))
}

/// Year, month and day of a day since 1970, for which years are counted from March.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400)
}
