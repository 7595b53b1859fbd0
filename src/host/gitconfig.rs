//! A reader of git's configuration syntax (git-config(1)), for the few settings that name programs.

/// One setting; section and key in lower case, without the subsection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub section: String,
    pub key: String,
    pub value: String,
}

/// All settings of a file, in order. What makes no sense is left out.
pub(super) fn parse(text: &str) -> Vec<Setting> {
    // A backslash at the end of a line goes on with the next one.
    let joined = text.replace("\\\r\n", "").replace("\\\n", "");
    let mut section = String::new();
    let mut found = Vec::new();
    for line in joined.lines() {
        let mut line = line.trim_start_matches('\u{feff}').trim();
        if let Some(header) = line.strip_prefix('[') {
            let Some((name, rest)) = split_header(header) else { continue };
            section = name.split([' ', '\t', '.', '"']).next().unwrap_or_default().to_ascii_lowercase();
            line = rest.trim_start();
        }
        if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().to_ascii_lowercase();
            found.push(Setting { section: section.clone(), key, value: plain(value) });
        }
    }
    found
}

/// The name in a section header and what follows its bracket, which may stand in a quoted subsection too.
fn split_header(header: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, letter) in header.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some((header.get(..at)?, header.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// A value without quotes, escapes and the comment behind it.
fn plain(value: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    // How much of `out` stays when blanks at the end are cut: quoted ones are kept.
    let mut kept = 0;
    let mut letters = value.trim_start().chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                quoted = !quoted;
                kept = out.len();
                continue;
            }
            '#' | ';' if !quoted => break,
            '\\' => out.extend(letters.next().map(|escaped| match escaped {
                'n' => '\n',
                't' => '\t',
                other => other,
            })),
            other => out.push(other),
        }
        if quoted || !letter.is_whitespace() {
            kept = out.len();
        }
    }
    out.truncate(kept);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_however_it_is_written() {
        let spellings = [
            "[core]\n\thooksPath = hk\n",
            "[core] hooksPath = hk\n",
            "[CORE]\nHOOKSPATH=hk\n",
            "[core]\nhooksPath = hk ; comment\n",
            "[core]\nhooksPath = \"hk\" # comment\n",
            "[core]\nhooksPath = \\\nhk\n",
            "[a \"b]c\"]\nx = y\n[core]\nhooksPath = h\"k\"\n",
            "\u{feff}[core]\r\nhooksPath = hk\r\n",
        ];
        let wanted = Setting { section: "core".into(), key: "hookspath".into(), value: "hk".into() };
        for text in spellings {
            assert_eq!(parse(text).last(), Some(&wanted), "{text:?}");
        }
        let include = parse("[includeIf \"gitdir:~/x/\"]\n path = \"a # b\"\n");
        assert_eq!(include[0], Setting { section: "includeif".into(), key: "path".into(), value: "a # b".into() });
    }
}
