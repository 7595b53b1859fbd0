//! Files: which language they speak, and whose word they are.

use std::path::Path;

use super::codex::{self, Surroundings};
use super::load::{self, LoadError};
use super::{Dialect, Format, Provenance, Request, Source, openshell, srt};

/// The largest file that is read, in bytes.
pub(super) const LARGEST: u64 = 16 << 20;

/// Where an administrator's files lie.
pub const SYSTEM_DIRECTORY: &str = "/etc/ringfence";

/// Whose word a file of root's is, by its directory.
const SOURCES: &[(&str, Source)] =
    &[(SYSTEM_DIRECTORY, Source::Admin), ("/etc/openshell", Source::Image), ("/etc/navigator", Source::Image)];

/// Reads a policy: TOML, one of OpenShell's in YAML, or one of Codex's in JSON; `format` where the content is not to
/// tell. Relative paths in TOML are relative to the file's directory, `~/` is `home`; the others are resolved in their
/// surroundings.
///
/// # Errors
/// [`LoadError`], with the line.
pub fn read(
    path: &Path,
    format: Option<Format>,
    home: Option<&Path>,
    around: Surroundings<'_>,
) -> Result<Request, LoadError> {
    let (text, source) = text(path)?;
    Text { path, text: &text, source }.request(format, home, around)
}

/// What was read.
struct Text<'a> {
    path: &'a Path,
    text: &'a str,
    source: Source,
}

impl Text<'_> {
    fn request(
        &self,
        format: Option<Format>,
        home: Option<&Path>,
        around: Surroundings<'_>,
    ) -> Result<Request, LoadError> {
        let Self { path, text, source } = *self;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let found = || match text.trim_start() {
            json if json.starts_with('{') && srt::looks_like(json) => Format::Srt,
            json if json.starts_with('{') => Format::Codex,
            _ if openshell::looks_like(text) => Format::Openshell,
            _ if codex::config::looks_like(text) => Format::Codex,
            _ => Format::Toml,
        };
        let request = match format.unwrap_or_else(found) {
            Format::Codex if !text.trim_start().starts_with('{') => codex::config::parse(text, path, home, around)?,
            Format::Srt => srt::parse(text, path, home, around.workspace)?,
            Format::Codex => codex::any(text, &path.display().to_string(), around)?,
            Format::Openshell => openshell::parse(text, path, source, around.workspace)?,
            Format::Toml => {
                let request = load::parse(text, path, absolute.parent().unwrap_or(Path::new("/")), home)?;
                let files = vec![(path.to_owned(), source)];
                // A complete policy is one as a whole, whatever its language.
                let policy = (request.dialect == Dialect::OpenShell).then_some(source);
                Request { provenance: Provenance { policy, files }, ..request }
            }
        };
        Ok(Request { files: vec![absolute], ..request })
    }
}

/// Where OpenShell's images have their policy, the legacy place last.
pub const OF_IMAGES: &[&str] = &["/etc/openshell/policy.yaml", "/etc/navigator/policy.yaml"];

/// OpenShell's policy, looked for as OpenShell does: what the variable names, then the image's, then the built-in one. A
/// file that is there and bad is an error: only one that is not there makes room for the next. `images` are
/// [`OF_IMAGES`].
///
/// # Errors
/// [`LoadError`], with the line.
pub fn openshell_policy(
    variable: Option<&Path>,
    images: &[impl AsRef<Path>],
    around: Surroundings<'_>,
) -> Result<Request, LoadError> {
    let format = Some(Format::Openshell);
    if let Some(path) = variable {
        return read(path, format, None, around);
    }
    let Some(path) = images.iter().map(AsRef::as_ref).find(|path| is_there(path)) else {
        return Ok(openshell::built_in(around.workspace));
    };
    read(path, format, None, around)
}

/// Whether there is a file to read. An unreadable one is told when it is read: a policy must not vanish silently.
#[must_use]
pub fn is_there(file: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    !std::fs::symlink_metadata(file).is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}

/// The text of a file, and whose word it is: by where it lies and who can write it, never by what it says.
fn text(path: &Path) -> Result<(String, Source), LoadError> {
    let fail = |source| LoadError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, LARGEST + 1), &mut text).map_err(fail)?;
    if text.len() as u64 > LARGEST {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    let place = std::fs::canonicalize(path).unwrap_or_default();
    let known = SOURCES.iter().find(|(directory, _)| place.starts_with(directory)).map(|(_, source)| *source);
    let above = |directory: &Path| directory.metadata().is_ok_and(|metadata| is_root_s(&metadata));
    // What lies there now must be what was read: a link on the way may have led elsewhere before.
    let same = place.symlink_metadata().is_ok_and(|there| id_of(&there) == id_of(&metadata));
    let trusted = same && is_root_s(&metadata) && place.ancestors().skip(1).all(above);
    // What others than root can write is nobody's word but the user's.
    Ok((text, known.filter(|_| trusted).unwrap_or(Source::User)))
}

fn id_of(metadata: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Whether only root can write it.
fn is_root_s(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.uid() == 0 && metadata.mode() & 0o022 == 0
}
