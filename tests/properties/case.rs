//! A small file tree and a policy for it: drawn at random, or written down.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use ringfence::policy::paths::normal;

/// Names of directories, files and links; the later ones have a meaning of their own.
const NAMES: &[&str] = &["a", "b", "c", "f", "g", "x y", "ü", "a", "b", "f", ".git", ".vscode", ".mcp.json", ".ssh"];

/// Patterns of denials.
const GLOBS: &[&str] = &[
    "{B}/o/**/f",
    "{B}/w/**/g",
    "{B}/w/*/f",
    "{B}/o/a/*",
    "{B}/w/{a,b}/**",
    "{B}/o/[ab]/f",
    "{B}/w/**/{f,x y}",
    "{B}/o/*",
];

/// Directories below each other, at most.
const DEPTH: usize = 6;

/// What is compared. In both texts `{B}` is the directory that everything lies in.
#[derive(Clone, PartialEq, Eq)]
pub struct Case {
    /// `w/a/` is a directory, `w/a/f` a file, `w/l -> ../o` a link; `w`, the workspace, and `o`, the home, are there.
    pub tree: Vec<String>,
    /// TOML.
    pub policy: String,
}

impl Case {
    /// One that was found once.
    pub fn new(tree: &str, policy: &str) -> Self {
        let tree = tree.split('|').map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect();
        Self { tree, policy: policy.to_owned() }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case::new({:?}, r#\"\n{}\"#)", self.tree.join(" | "), self.policy)
    }
}

#[derive(Debug, Clone)]
enum Kind {
    Dir,
    File,
    /// What it leads to, and in which words.
    Link(Index, u8),
}

#[derive(Debug, Clone)]
struct Drawn {
    parent: Index,
    name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone)]
struct DrawnRule {
    access: &'static str,
    place: Place,
    at: Index,
    name: &'static str,
    spelling: u8,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Entry,
    Missing,
    Top,
    Whole,
}

/// Cases.
pub fn cases() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![5 => Just(Kind::Dir), 4 => Just(Kind::File), 2 => (any::<Index>(), 0..5_u8).prop_map(|(to, how)| Kind::Link(to, how))];
    let entry = (any::<Index>(), select(NAMES), kind).prop_map(|(parent, name, kind)| Drawn { parent, name, kind });
    let access = prop_oneof![4 => Just("deny"), 3 => Just("read"), 3 => Just("write"), 2 => Just("modify")];
    let place = prop_oneof![16 => Just(Place::Entry), 2 => Just(Place::Missing), 2 => Just(Place::Top), 1 => Just(Place::Whole)];
    let rule = (access, place, any::<Index>(), select(NAMES), 0..8_u8)
        .prop_map(|(access, place, at, name, spelling)| DrawnRule { access, place, at, name, spelling });
    let globs = proptest::collection::vec(select(GLOBS), 0..=1);
    let mode = prop_oneof![3 => Just("read-only"), 2 => Just("workspace-write")];
    let git = prop_oneof![5 => Just("protect"), 1 => Just("commit")];
    let tree = proptest::collection::vec(entry, 1..16);
    let rules = proptest::collection::vec(rule, 0..7);
    (tree, rules, globs, mode, git).prop_map(|(tree, rules, globs, mode, git)| {
        let tree = Tree::of(&tree);
        let policy = tree.policy(&rules, &globs, mode, git);
        Case { tree: tree.text, policy }
    })
}

/// What is drawn so far.
struct Tree {
    text: Vec<String>,
    dirs: Vec<String>,
    /// All of them, as rules may name them.
    paths: Vec<String>,
}

impl Tree {
    fn of(drawn: &[Drawn]) -> Self {
        let top: Vec<_> = ["w", "o"].map(str::to_owned).into();
        let mut tree = Self { text: Vec::new(), dirs: top.clone(), paths: top };
        let mut taken = BTreeSet::new();
        let mut links = Vec::new();
        for Drawn { parent, name, kind } in drawn {
            let parent = parent.get(&tree.dirs).clone();
            let path = format!("{parent}/{name}");
            if parent.split('/').count() >= DEPTH || !taken.insert(path.clone()) {
                continue;
            }
            match kind {
                Kind::Dir => {
                    tree.text.push(format!("{path}/"));
                    tree.dirs.push(path.clone());
                }
                Kind::File => tree.text.push(path.clone()),
                Kind::Link(to, how) => {
                    let (written, leads) = target(&parent, &tree.paths[to.index(tree.paths.len())], *how);
                    tree.text.push(format!("{path} -> {written}"));
                    links.push((path.clone(), leads));
                }
            }
            tree.paths.push(path);
        }
        tree.names_through_links(&links);
        tree
    }

    /// What lies below a link's target has another name.
    fn names_through_links(&mut self, links: &[(String, String)]) {
        for (link, leads) in links {
            let below = self.paths.iter().filter_map(|path| path.strip_prefix(&format!("{leads}/")));
            let names: Vec<_> = below.map(|rest| format!("{link}/{rest}")).take(3).collect();
            self.paths.extend(names);
        }
    }

    fn policy(&self, rules: &[DrawnRule], globs: &[&str], mode: &str, git: &str) -> String {
        let mut lists: [(&str, Vec<String>); 4] =
            ["deny", "read", "modify", "write"].map(|access| (access, Vec::new()));
        for rule in rules {
            let (access, path) = self.rule(rule);
            lists.iter_mut().filter(|(name, _)| *name == access).for_each(|(_, list)| list.push(path.clone()));
        }
        lists[0].1.extend(globs.iter().map(|glob| (*glob).to_owned()));
        let lists = lists.iter().filter(|(_, list)| !list.is_empty());
        let lists: String = lists.map(|(name, list)| format!("{name} = {list:?}\n")).collect();
        let git = if git == "commit" { "git = \"commit\"\n" } else { "" };
        format!("sandbox = \"{mode}\"\n{git}{lists}")
    }

    fn rule(&self, rule: &DrawnRule) -> (&'static str, String) {
        let path = match rule.place {
            Place::Entry => rule.at.get(&self.paths).clone(),
            Place::Missing => {
                // To write what is missing is refused: once in a while is enough.
                let access = if rule.spelling == 0 { rule.access } else { ["deny", "read"][rule.at.index(2)] };
                return (access, format!("{{B}}/{}/new {}", rule.at.get(&self.dirs), rule.name));
            }
            Place::Top => self.dirs[rule.at.index(2)].clone(),
            Place::Whole if rule.spelling < 2 => return ("deny", "/".to_owned()),
            Place::Whole => return (rule.access, "{B}".to_owned()),
        };
        (rule.access, format!("{{B}}/{}", spelled(&path, rule.spelling)))
    }
}

/// A link's words, and the path that they lead to.
fn target(parent: &str, to: &str, how: u8) -> (String, String) {
    let up = "../".repeat(parent.split('/').count());
    match how {
        0 => (format!("{{B}}/{to}"), to.to_owned()),
        1 => (format!("{up}{to}"), to.to_owned()),
        2 => {
            let above = normal(Path::new(&format!("/{parent}/.."))).to_string_lossy().trim_matches('/').to_owned();
            ("..".to_owned(), above)
        }
        3 => (format!("{up}./{to}/."), to.to_owned()),
        _ => ("nowhere".to_owned(), format!("{parent}/nowhere")),
    }
}

/// The same path in other words.
fn spelled(path: &str, how: u8) -> String {
    match how {
        0 => path.replace('/', "//"),
        1 => path.replace('/', "/./"),
        2 => path.replacen('/', "/none/../", 1),
        3 => format!("{path}/"),
        _ => path.to_owned(),
    }
}
