//! What a caller must know of a sandbox to start a command in it, written down when it stands.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::backend::init::stdio::Judge;
use crate::backend::job::Word;
use crate::plan::Plan;
use crate::plan::choose::Engine;
use crate::plan::env::EnvRule;

/// The terms of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Which standard streams may go in.
    pub judge: Judge,
    /// Which of the caller's variables do, and which are set.
    pub env: EnvRule,
    /// Whether a file can be handed in through a mount of its own.
    pub mounts: bool,
    /// Who enforces it, as it is told to people.
    pub engine: String,
    /// Where it was started.
    pub directory: PathBuf,
}

/// [`Terms`], as they are written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: String,
    devices: Vec<(u32, u32)>,
    hidden: Vec<Word>,
    host_network: bool,
    wall: bool,
    clear: bool,
    filter: bool,
    pass: Vec<Word>,
    drop: Vec<Word>,
    set: Vec<(Word, Word)>,
    mounts: bool,
    engine: String,
    directory: Word,
}

/// What wrote them and what reads them must be the same program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Terms {
    /// Of a plan; `None` where nothing is confined.
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        let judge = Judge::of(plan.confinement.as_ref()?);
        Some(Self {
            judge,
            env: plan.process.env.rule(),
            mounts: plan.choice.engine != Engine::Landlock,
            engine: plan.choice.engine.name().to_owned(),
            directory: plan.process.cwd.clone(),
        })
    }

    /// As bytes.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let Self { judge: Judge { devices, hidden, host_network, wall }, env, mounts, engine, directory } = self;
        let EnvRule { clear, filter, pass, drop, set } = env;
        let words = |words: &[OsString]| words.iter().map(Word::new).collect();
        let written = Written {
            version: VERSION.to_owned(),
            devices: devices.clone(),
            hidden: hidden.iter().map(Word::new).collect(),
            host_network: *host_network,
            wall: *wall,
            clear: *clear,
            filter: *filter,
            pass: words(pass),
            drop: words(drop),
            set: set.iter().map(|(name, value)| (Word::new(name), Word::new(value))).collect(),
            mounts: *mounts,
            engine: engine.clone(),
            directory: Word::new(directory),
        };
        Ok(serde_json::to_vec(&written)?)
    }

    /// From bytes.
    ///
    /// # Errors
    /// `InvalidData` when another version of this program wrote them.
    pub fn from_bytes(bytes: &[u8]) -> std::io::Result<Self> {
        let other = |why: String| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
        let written: Written = serde_json::from_slice(bytes).map_err(|error| other(error.to_string()))?;
        if written.version != VERSION {
            return Err(other(format!("it was started by version {}", written.version)));
        }
        let words = |words: Vec<Word>| words.into_iter().map(Word::get).collect();
        Ok(Self {
            judge: Judge {
                devices: written.devices,
                hidden: written.hidden.into_iter().map(|path| path.get().into()).collect(),
                host_network: written.host_network,
                wall: written.wall,
            },
            env: EnvRule {
                clear: written.clear,
                filter: written.filter,
                pass: words(written.pass),
                drop: words(written.drop),
                set: written.set.into_iter().map(|(name, value)| (name.get(), value.get())).collect(),
            },
            mounts: written.mounts,
            engine: written.engine,
            directory: written.directory.get().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn what_was_written_is_read_back_byte_for_byte_and_only_by_the_same_version() {
        let odd = OsString::from_vec(b"/x\xff\n".to_vec());
        let terms = Terms {
            judge: Judge { devices: vec![(1, 3)], hidden: vec![odd.clone().into()], host_network: false, wall: true },
            env: EnvRule {
                clear: true,
                filter: true,
                pass: vec!["A_TOKEN".into()],
                drop: vec!["DISPLAY".into()],
                set: [("TMPDIR".into(), odd)].into(),
            },
            mounts: true,
            engine: "native".to_owned(),
            directory: "/w".into(),
        };
        let bytes = terms.to_bytes().unwrap();
        assert_eq!(Terms::from_bytes(&bytes).unwrap(), terms);
        let text = String::from_utf8(bytes).unwrap().replace(&format!("\"{VERSION}\""), "\"0.0.0\"");
        assert_eq!(Terms::from_bytes(text.as_bytes()).unwrap_err().to_string(), "it was started by version 0.0.0");
    }
}
