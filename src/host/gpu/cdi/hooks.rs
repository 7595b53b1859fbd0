//! Hooks: programs that an engine would run. None of them is run here; those of NVIDIA's tools are told apart, so that
//! what they do can be done in another way.
//!
//! Source: the sub-commands of `nvidia-cdi-hook` in the NVIDIA Container Toolkit.

use std::path::{Path, PathBuf};

use super::reader::shown;
use super::spec::HookEdit;
use crate::policy::paths::normal;

/// What a hook would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// Make links.
    CreateSymlinks(Vec<SymlinkWish>),
    /// Make the libraries of these directories known to the dynamic loader.
    UpdateLdcache(Vec<PathBuf>),
    /// Keep libraries from making device nodes. Nothing in a sandbox can make any.
    DisableDeviceNodeModification,
    /// Tell EGL and Vulkan which GPUs are visible.
    UpdateApplicationProfile,
    /// Prefer compatibility libraries that an image brings along.
    EnableCudaCompat,
    /// Change permissions of a path in an image.
    Chmod,
    /// Nothing.
    Noop,
}

/// A link that a hook would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymlinkWish {
    /// What it says, verbatim.
    pub target: PathBuf,
    /// Its path inside.
    pub link: PathBuf,
}

/// Why a hook is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownHook {
    /// It is none of NVIDIA's.
    #[error("`{program}` is not known, and programs that a file names are never run")]
    Program {
        /// What it calls itself.
        program: String,
    },
    /// It is one of NVIDIA's that does something else.
    #[error("what `{command}` of NVIDIA's hooks does is not known")]
    Command {
        /// The sub-command.
        command: String,
    },
    /// It is one that is known, with an argument that is not.
    #[error("`{command}` has an argument that is not understood: `{argument}`")]
    Argument {
        /// The sub-command.
        command: &'static str,
        /// The argument.
        argument: String,
    },
}

impl Hook {
    /// Tells what a hook would do, by its arguments alone: the path of the program says nothing.
    ///
    /// # Errors
    /// [`UnknownHook`].
    pub fn of(edit: &HookEdit) -> Result<Self, UnknownHook> {
        let mut args = edit.args.iter().map(String::as_str);
        let program = args.next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        let command = match name {
            "nvidia-cdi-hook" => args.next(),
            "nvidia-ctk" if args.next() == Some("hook") => args.next(),
            _ => {
                let program = if program.is_empty() { edit.path.display().to_string() } else { shown(program) };
                return Err(UnknownHook::Program { program });
            }
        };
        match command.unwrap_or_default() {
            "create-symlinks" => links(args).map(Self::CreateSymlinks),
            "update-ldcache" => folders(args).map(Self::UpdateLdcache),
            "disable-device-node-modification" => Ok(Self::DisableDeviceNodeModification),
            "update-application-profile" => Ok(Self::UpdateApplicationProfile),
            "enable-cuda-compat" => Ok(Self::EnableCudaCompat),
            "chmod" => Ok(Self::Chmod),
            "noop" => Ok(Self::Noop),
            command => Err(UnknownHook::Command { command: shown(command) }),
        }
    }
}

/// The values of options that take one: `--name value` or `--name=value`.
fn options<'a>(
    command: &'static str,
    known: &[&str],
    mut args: impl Iterator<Item = &'a str>,
) -> Result<Vec<(&'a str, &'a str)>, UnknownHook> {
    let mut found = Vec::new();
    while let Some(argument) = args.next() {
        let unknown = || UnknownHook::Argument { command, argument: shown(argument) };
        let name = argument.strip_prefix("--").ok_or_else(unknown)?;
        let (name, value) = match name.split_once('=') {
            Some(pair) => pair,
            None => (name, args.next().ok_or_else(unknown)?),
        };
        if !known.contains(&name) {
            return Err(unknown());
        }
        found.push((name, value));
    }
    Ok(found)
}

fn links<'a>(args: impl Iterator<Item = &'a str>) -> Result<Vec<SymlinkWish>, UnknownHook> {
    const COMMAND: &str = "create-symlinks";
    let links = options(COMMAND, &["link"], args)?.into_iter().map(|(_, value)| {
        let fault = || UnknownHook::Argument { command: COMMAND, argument: shown(value) };
        let (target, link) = value.split_once("::").ok_or_else(fault)?;
        let plain = |path: &str| !path.is_empty() && !path.contains("::") && !path.contains('\n');
        let place = plain(link).then(|| inside(link)).flatten().filter(|_| plain(target)).ok_or_else(fault)?;
        Ok(SymlinkWish { target: target.into(), link: place })
    });
    links.collect()
}

fn folders<'a>(args: impl Iterator<Item = &'a str>) -> Result<Vec<PathBuf>, UnknownHook> {
    const COMMAND: &str = "update-ldcache";
    let options = options(COMMAND, &["folder", "ldconfig-path"], args)?.into_iter();
    let folders = options.filter(|(name, _)| *name == "folder").map(|(_, value)| {
        // A colon would make two directories of one.
        let folder = inside(value).filter(|_| !value.contains([':', '\n']));
        folder.ok_or_else(|| UnknownHook::Argument { command: COMMAND, argument: shown(value) })
    });
    folders.collect()
}

/// A path inside, without steps back; the hooks take a relative one for one below the root.
fn inside(path: &str) -> Option<PathBuf> {
    let back = Path::new(path).components().any(|part| part == std::path::Component::ParentDir);
    let path = normal(&Path::new("/").join(path));
    (!back && path != Path::new("/")).then_some(path)
}

impl SymlinkWish {
    /// Where it leads, by its words alone.
    #[must_use]
    pub fn leads_to(&self) -> PathBuf {
        normal(&self.link.parent().unwrap_or(Path::new("/")).join(&self.target))
    }
}
