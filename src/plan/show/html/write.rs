//! Marks and text of a page. Marks are literals of this program, all else is escaped: the types leave no other way.

use super::super::tree::{Branch, Level};

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Marks of ours.
    pub(super) fn raw(&mut self, marks: &'static str) {
        self.0.push_str(marks);
    }

    /// Text of anybody's, as it reads: no letter of it is a mark, and none turns the direction of the others.
    pub(super) fn text(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push(letter),
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    self.0.extend(letter.escape_unicode());
                }
                _ if letter.is_control() => self.0.extend(letter.escape_unicode()),
                _ => self.0.push(letter),
            }
        }
    }

    pub(super) fn done(self) -> String {
        self.0
    }

    /// A box with a big word and a small one.
    pub(super) fn card(&mut self, title: &'static str, big: &str, small: &str) {
        self.raw("<section><h2>");
        self.raw(title);
        self.raw("</h2><b>");
        self.text(big);
        self.raw("</b><p>");
        self.text(small);
        self.raw("</p></section>\n");
    }

    pub(super) fn chip(&mut self, level: Level) {
        self.raw("<span class=\"chip ");
        self.raw(level.name());
        self.raw("\">");
        self.raw(level.name());
        self.raw("</span>");
    }

    /// An entry of the tree.
    pub(super) fn entry(&mut self, branch: &Branch) {
        self.raw("<span class=\"name\">");
        self.text(&branch.name);
        self.raw("</span>");
        if let Some(grant) = &branch.grant {
            self.chip(grant.level);
            self.raw("<span class=\"why\">");
            let what = if grant.what == grant.level.name() { "" } else { &grant.what };
            self.text(&format!("{what}{}{}", if what.is_empty() { "" } else { " · " }, grant.because));
            self.raw("</span>");
        }
    }

    /// So many entries that are like this one.
    pub(super) fn group(&mut self, first: &Branch, count: usize) {
        self.raw("<span class=\"name\">");
        self.text(&format!("{} and {} more", first.name, count - 1));
        self.raw("</span>");
        if let Some(grant) = &first.grant {
            self.chip(grant.level);
            self.raw("<span class=\"why\">");
            self.text(&grant.sort);
            self.raw("</span>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_mark() {
        let table = [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("a\"b'c&d", "a&quot;b&#39;c&amp;d"),
            ("x\u{202e}y\u{7}z", "x\\u{202e}y\\u{7}z"),
            ("über 日本", "über 日本"),
        ];
        for (text, want) in table {
            let mut page = Page::default();
            page.text(text);
            assert_eq!(page.done(), want);
        }
    }
}
