//! `ringfence init`: a commented file to start from.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;

use clap::Args;

use super::report::{Problem, print, problems};
use crate::request::Origin;
use crate::request::load::LoadError;
use crate::request::profiles;

/// Options of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Start from this profile, and not from those that fit what is in the directory.
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
}

/// What is written, into the working directory.
const NAME: &str = "ringfence.toml";

const TEMPLATE: &str = include_str!("init/template.toml");

/// Names in a directory that tell which profile is of use; `*` stands for any beginning. Of two rows for the same tools
/// the first counts.
const SIGNS: &[(&str, &str)] = &[
    ("Cargo.toml", "cargo"),
    ("package.json", "npm"),
    ("uv.lock", "uv"),
    ("pyproject.toml", "pip"),
    ("requirements.txt", "pip"),
    ("setup.py", "pip"),
    ("*.ipynb", "jupyter"),
    (".git", "git"),
];

/// A profile, and why it is proposed.
#[derive(Debug, PartialEq, Eq)]
struct Proposal {
    profile: &'static str,
    why: String,
}

/// Writes the file; the result is the exit code.
pub fn init(args: &InitArgs) -> i32 {
    match written(args) {
        Ok(told) => print(&told),
        Err(found) => return problems(&found),
    }
    0
}

fn written(args: &InitArgs) -> Result<String, Vec<Problem>> {
    let cannot = |step: &str, error: &std::io::Error| vec![Problem::new(format!("{step}: {error}"), None)];
    let names = std::fs::read_dir(".").and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let names: Vec<OsString> = names.map_err(|error| cannot("list the working directory", &error))?;
    let found = proposals(&names);
    let chosen = if args.profile.is_empty() { Vec::new() } else { named(&args.profile)? };
    let (use_them, others) = if args.profile.is_empty() { (&found, &chosen) } else { (&chosen, &found) };
    // Never through a link, and never in the place of anything.
    let file = File::options().write(true).create_new(true).open(NAME);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let hint = Some("edit it, or move it away first".to_owned());
            vec![Problem::new(format!("`{NAME}` is here already, and is not written over"), hint)]
        }
        _ => cannot(&format!("make `{NAME}`"), &error),
    })?;
    let written = file.write_all(text(use_them, others).as_bytes());
    written.map_err(|error| cannot(&format!("write `{NAME}`"), &error))?;
    let why = |proposal: &Proposal| format!("  profile {} {}\n", proposal.profile, proposal.why);
    let profiles: String = use_them.iter().map(why).collect();
    Ok(format!("{NAME} is written\n{profiles}start with: ringfence run --config {NAME} -- COMMAND\n"))
}

fn named(names: &[String]) -> Result<Vec<Proposal>, Vec<Problem>> {
    let find = |name: &String| {
        let unknown = || LoadError::NoProfile { name: name.clone(), by: Origin::Flag("--profile") };
        let profile = profiles::find(name).ok_or_else(unknown).map_err(Problem::of_file)?;
        Ok(Proposal { profile: profile.name, why: "because --profile names it".to_owned() })
    };
    names.iter().map(find).collect()
}

/// The profiles that fit what a directory holds.
fn proposals(names: &[OsString]) -> Vec<Proposal> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for (sign, profile) in SIGNS {
        let fits = |name: &&OsString| match (sign.strip_prefix('*'), name.to_str()) {
            (Some(end), Some(name)) => name.ends_with(end) && name.len() > end.len(),
            _ => name == sign,
        };
        // Who locks with uv installs with it.
        let tool = if *profile == "pip" { "uv" } else { profile };
        if names.iter().any(|name| fits(&name)) && known.insert(tool) {
            let sign = if sign.starts_with('*') { "a notebook" } else { sign };
            found.push(Proposal { profile, why: format!("because of {sign}") });
        }
    }
    found
}

/// The file, with these profiles, and others in a comment.
fn text(chosen: &[Proposal], others: &[Proposal]) -> String {
    let mut part = String::from(
        "# What well-known tools need: `ringfence profiles` lists them, `ringfence profiles NAME` prints one.\n",
    );
    let names: Vec<_> = chosen.iter().map(|proposal| format!("\"{}\",", proposal.profile)).collect();
    let width = names.iter().map(String::len).max().unwrap_or_default();
    if chosen.is_empty() {
        part += "# profile = [\"git\"]\n";
    } else {
        let lines = names.iter().zip(chosen).map(|(name, proposal)| format!("    {name:width$} # {}\n", proposal.why));
        part += &format!("profile = [\n{}]\n", lines.collect::<String>());
    }
    let missing = others.iter().filter(|other| !chosen.iter().any(|proposal| proposal.profile == other.profile));
    let missing = missing.map(|Proposal { profile, why }| format!("# `{profile}` would fit too, {why}.\n"));
    part.extend(missing);
    TEMPLATE.replace("@PROFILES@\n", &(part + "\n"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::request::Request;
    use crate::request::load::parse;

    fn read(text: &str) -> Result<Request, LoadError> {
        parse(text, Path::new(NAME), Path::new("/w"), Some(Path::new("/home/you")))
    }

    fn found(names: &[&str]) -> Vec<Proposal> {
        proposals(&names.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_there_proposes_profiles() {
        let table: [(&[&str], &[&str]); 7] = [
            (&[], &[]),
            (&["Cargo.toml", ".git", "src"], &["cargo", "git"]),
            (&["package.json", "node_modules"], &["npm"]),
            (&["pyproject.toml", "requirements.txt"], &["pip"]),
            (&["pyproject.toml", "uv.lock", "a.ipynb"], &["uv", "jupyter"]),
            (&[".ipynb", "Cargo.toml.bak", "ipynb"], &[]),
            (&["requirements.txt", "Cargo.toml", "package.json"], &["cargo", "npm", "pip"]),
        ];
        for (names, want) in table {
            let profiles: Vec<_> = found(names).iter().map(|proposal| proposal.profile).collect();
            assert_eq!(profiles, want, "{names:?}");
        }
        for (sign, profile) in SIGNS {
            assert!(profiles::find(profile).is_some(), "{sign}: {profile}");
        }
    }

    #[test]
    fn the_file_says_the_profiles_and_nothing_else() {
        for (names, want) in [(&["Cargo.toml", ".git"][..], &["cargo", "git"][..]), (&[], &[])] {
            let request = read(&text(&found(names), &[])).unwrap();
            let profiles: Vec<_> = request.profile.iter().map(|said| said.value.as_str()).collect();
            assert_eq!(profiles, want);
            assert_eq!(Request { profile: Vec::new(), ..request }, Request::default());
        }
        let both = text(&named(&["cargo".to_owned()]).unwrap(), &found(&["Cargo.toml", ".git"]));
        assert!(both.contains("# `git` would fit too, because of .git.") && !both.contains("`cargo` would"), "{both}");
    }

    /// Lines that are a key when the mark is taken away.
    fn keys(text: &str) -> Vec<&str> {
        let key = |line: &&str| {
            line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        };
        text.lines().filter_map(|line| line.strip_prefix("# ")).filter(key).collect()
    }

    #[test]
    fn every_commented_key_is_valid_and_says_something_new() {
        let text = text(&[], &[]);
        let keys = keys(&text);
        assert!(keys.len() > 25, "{keys:?}");
        for line in &keys {
            let request = read(&text.replace(&format!("# {line}"), line)).unwrap_or_else(|error| panic!("{error}"));
            let said = line.starts_with("optional") || request != Request::default();
            assert!(said, "{line} says nothing");
        }
        let all = keys.iter().fold(text.clone(), |all, line| all.replace(&format!("# {line}\n"), &format!("{line}\n")));
        read(&all).unwrap();
    }
}
