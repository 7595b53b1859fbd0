//! What was probably meant by a word that nobody knows.

/// How many letters may be changed, added or removed in a word that was meant to be another.
const FAR: usize = 2;

/// The word that was probably meant.
#[must_use]
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    // Long words are far from everything, and slow to measure.
    let alike = known.iter().filter(|known| known.len().abs_diff(word.len()) <= FAR);
    let distances = alike.map(|known| (strsim::levenshtein(&word, &known.replace('-', "_")), *known));
    let is_near = |(distance, known): &(usize, &str)| *distance <= FAR && 2 * distance < known.len();
    let near = distances.filter(is_near).min().map(|(_, known)| known);
    // `filesystem` is the name of the same thing elsewhere.
    near.or_else(|| known.iter().find(|known| word.len() > 3 && known.starts_with(&word)).copied())
}

/// serde's words about an unknown field or variant, which list all that are known: only the one that was meant, where there
/// is one.
#[must_use]
pub fn with_what_was_meant(message: String) -> String {
    let mut words = message.split('`');
    let (Some(what @ ("unknown field " | "unknown variant ")), Some(word)) = (words.next(), words.next()) else {
        return message;
    };
    match nearest(word, &words.skip(1).step_by(2).collect::<Vec<_>>()) {
        Some(near) => format!("{what}`{word}`: did you mean `{near}`?"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let known = ["read_only", "read_write", "include_workdir", "filesystem_policy", "landlock"];
        let table = [
            ("readwrite", Some("read_write")),
            ("read-only", Some("read_only")),
            ("Landlok", Some("landlock")),
            ("filesystem", Some("filesystem_policy")),
            ("reed_onyl", None),
            ("x", None),
            ("", None),
        ];
        for (word, want) in table {
            assert_eq!(nearest(word, &known), want, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
    }

    #[test]
    fn what_was_meant_is_named_and_otherwise_all_that_is_known() {
        let table = [
            ("unknown field `wirte`, expected one of `read`, `write`", "unknown field `wirte`: did you mean `write`?"),
            ("unknown field `nett`, expected `net`", "unknown field `nett`: did you mean `net`?"),
            ("unknown variant `writ`, expected `none` or `write`", "unknown variant `writ`: did you mean `write`?"),
            ("unknown variant `rw`, expected `none` or `write`", "unknown variant `rw`, expected `none` or `write`"),
            ("unknown field `x`, there are no fields", "unknown field `x`, there are no fields"),
            ("unknown field `a`b`, expected `net`", "unknown field `a`b`, expected `net`"),
            ("invalid type: integer `1`", "invalid type: integer `1`"),
        ];
        for (message, want) in table {
            assert_eq!(with_what_was_meant(message.to_owned()), want);
        }
    }
}
