//! The driver's application profile for a part of the GPUs: without one, EGL and Vulkan of older drivers fail where only
//! some nodes are there.
//!
//! Source: libnvidia-container, issue 134; nvidia-container-toolkit, hook `update-application-profile`; NVIDIA driver
//! README, "Application profiles".

use std::path::Path;

use crate::host::gpu::driver_files::{DriverFiles, PROFILES, Profile};
use crate::host::paths::Kind;
use crate::plan::mounts::{Mount, MountOp};
use crate::request::Origin;

/// The name that other programs give it, too: so there is one.
const NAME: &str = "10-container.conf";

/// The profile that shows EGL the devices of these driver minors, as one line of the driver's JSON, which has hexadecimal
/// numbers. Minors above 63 have no bit.
#[must_use]
pub fn application_profile(minors: &[u32]) -> Vec<u8> {
    let mask = minors.iter().filter_map(|minor| 1_u64.checked_shl(*minor)).fold(0, |mask, bit| mask | bit);
    let settings = format!(r#""settings": ["EGLVisibleDGPUDevices", {mask:#x}]"#);
    let profiles = format!(r#""profiles": [{{"name": "_container_", {settings}}}]"#);
    format!("{{{profiles}, \"rules\": [{{\"pattern\": [], \"profile\": \"_container_\"}}]}}\n").into_bytes()
}

/// The mounts that show the profile of these minors among those of the system, parents first.
///
/// Where the system has no file of that name, its directory is made anew, with what is in it.
///
/// # Errors
/// Why it cannot be shown, as a note for the reader of the plan.
pub fn mounts(files: &DriverFiles, minors: &[u32], because: &Origin) -> Result<Vec<MountOp>, String> {
    let Some(profiles) = &files.profiles else {
        return Err(format!(
            "there is no {PROFILES}: EGL and Vulkan of older drivers may fail with a part of the GPUs"
        ));
    };
    let target = Path::new(PROFILES).join(NAME);
    let op = |target: &Path, what| MountOp { target: target.to_owned(), what, because: because.clone() };
    let data = |make| op(&target, Mount::Data { bytes: application_profile(minors), make });
    if profiles.iter().any(|profile| profile.path == target && profile.kind == Kind::File) {
        return Ok(vec![data(false)]);
    }
    if let Some(other) = profiles.iter().find(|profile| profile.kind != Kind::File) {
        return Err(format!(
            "{} is no regular file, so no profile for a part of the GPUs is shown",
            other.path.display()
        ));
    }
    let directory = Path::new(PROFILES);
    let again = |profile: &Profile| {
        op(&profile.path, Mount::Bind { id: Some(profile.id), dir: false, writable: false, make: true })
    };
    let made = std::iter::once(op(directory, Mount::Tmpfs { mode: 0o555, make: false }));
    let all = made.chain(profiles.iter().map(again)).chain([data(true), op(directory, Mount::Seal)]);
    Ok(all.collect())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::host::paths::FileId;

    #[test]
    fn each_minor_has_a_bit() {
        let table: [(&[u32], &str); 5] =
            [(&[0], "0x1"), (&[1], "0x2"), (&[0, 3], "0x9"), (&[63, 64, 99], "0x8000000000000000"), (&[], "0x0")];
        for (minors, mask) in table {
            let text = String::from_utf8(application_profile(minors)).unwrap();
            let want = format!(
                r#"{{"profiles": [{{"name": "_container_", "settings": ["EGLVisibleDGPUDevices", {mask}]}}], "rules": [{{"pattern": [], "profile": "_container_"}}]}}"#
            );
            assert_eq!(text, want + "\n");
        }
    }

    fn check(entries: Option<&[(&str, Kind)]>, want: Expect) {
        let entry = |(name, kind): &(&str, Kind)| Profile {
            path: Path::new(PROFILES).join(name),
            id: FileId { dev: 1, ino: 2 },
            kind: *kind,
        };
        let profiles = entries.map(|entries| entries.iter().map(entry).collect());
        let files = DriverFiles { params: None, profiles };
        let text = match mounts(&files, &[1], &Origin::Gpu("gpu 1".to_owned())) {
            Ok(ops) => ops.iter().map(|op| format!("{} {}\n", op.target.display(), kind(&op.what))).collect(),
            Err(note) => note,
        };
        want.assert_eq(&text);
    }

    fn kind(what: &Mount) -> String {
        match what {
            Mount::Data { make, .. } => format!("data, make: {make}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn it_stands_beside_those_of_the_system() {
        check(
            None,
            expect![
                "there is no /etc/nvidia/nvidia-application-profiles-rc.d: EGL and Vulkan of older drivers may fail with a part of the GPUs"
            ],
        );
        check(
            Some(&[]),
            expect![[r#"
            /etc/nvidia/nvidia-application-profiles-rc.d Tmpfs { mode: 365, make: false }
            /etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf data, make: true
            /etc/nvidia/nvidia-application-profiles-rc.d Seal
        "#]],
        );
        check(
            Some(&[("10-container.conf", Kind::File), ("link", Kind::Symlink)]),
            expect![[r#"
            /etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf data, make: false
        "#]],
        );
        check(
            Some(&[("50-site", Kind::File)]),
            expect![[r#"
            /etc/nvidia/nvidia-application-profiles-rc.d Tmpfs { mode: 365, make: false }
            /etc/nvidia/nvidia-application-profiles-rc.d/50-site Bind { id: Some(FileId { dev: 1, ino: 2 }), dir: false, writable: false, make: true }
            /etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf data, make: true
            /etc/nvidia/nvidia-application-profiles-rc.d Seal
        "#]],
        );
        check(
            Some(&[("10-container.conf", Kind::Symlink)]),
            expect![
                "/etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf is no regular file, so no profile for a part of the GPUs is shown"
            ],
        );
    }
}
