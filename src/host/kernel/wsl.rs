//! Which Windows subsystem for Linux this is, if any.

/// The Windows subsystem for Linux.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wsl {
    /// An ordinary kernel.
    #[default]
    No,
    /// WSL 1: system calls of Linux imitated by Windows, without namespaces.
    One,
    /// WSL 2: a Linux kernel in a virtual machine.
    Two,
}

/// Judges the text of `/proc/version`: a word `WSL<number>` decides; without one, `Microsoft` is WSL 1 unless it is
/// `microsoft-standard`.
///
/// WSL 1 writes its vendor with a capital; kernels for WSL 2, also those that people build themselves, do not.
#[must_use]
pub fn wsl_version(version: &str) -> Wsl {
    let lower = version.to_ascii_lowercase();
    match numbered(&lower) {
        Some(1) => Wsl::One,
        Some(_) => Wsl::Two,
        None if lower.contains("microsoft-standard") => Wsl::Two,
        None if version.contains("Microsoft") => Wsl::One,
        None if lower.contains("microsoft") || lower.contains("-wsl") => Wsl::Two,
        None => Wsl::No,
    }
}

/// The number right after the first `wsl` that has one.
fn numbered(lower: &str) -> Option<u32> {
    lower.split("wsl").skip(1).find_map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_proc_version_tells_wsl_1_from_wsl_2() {
        let table = [
            ("4.4.0-19041-Microsoft", Wsl::One),
            (
                "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0) #1237-Microsoft",
                Wsl::One,
            ),
            ("Linux version 5.15.0-microsoft-standard-WSL1", Wsl::One),
            ("5.15.90.1-microsoft-standard-WSL2", Wsl::Two),
            ("Linux version 6.6.87.2-microsoft-standard-WSL2 (root@builder) #1 SMP", Wsl::Two),
            ("Linux version 4.19.104-microsoft-standard (oe-user@oe-host)", Wsl::Two),
            ("Linux version 7.1.0-Microsoft-WSL3", Wsl::Two),
            ("6.6.1-microsoft-standard-custom-wsl", Wsl::Two),
            ("6.6.1-custom-wsl", Wsl::Two),
            ("Linux version 6.12.0-1-amd64 (debian-kernel@lists.debian.org)", Wsl::No),
            ("", Wsl::No),
        ];
        for (text, want) in table {
            assert_eq!(wsl_version(text), want, "{text:?}");
        }
    }
}
