//! House rules as tests: what ARCHITECTURE.md says about rooms, edges and sizes is true of the code, or this fails.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

/// Which rooms a room may name. `policy::paths::Access` allows just that item of a room.
const EDGES: &[(&str, &[&str])] = &[
    ("request", &["policy::paths", "policy::tables"]),
    ("policy", &["request"]),
    ("host", &["request", "policy", "sys"]),
    ("plan", &["request", "policy", "host"]),
    (
        "backend",
        &[
            "plan",
            "sys",
            "request::Net",
            "request::Origin",
            "request::Said",
            "policy::paths",
            "policy::tables",
            "host::paths",
            "host::placeholder",
            "host::mountinfo",
            "host::scratch",
        ],
    ),
    ("supervise", &["plan", "backend", "policy::net", "sys"]),
    ("probe", &["sys", "host::gpu::loader"]),
    ("cli", &["request", "policy", "host", "plan", "backend", "supervise", "probe", "sandbox::outcome", "sys"]),
    (
        "sandbox",
        &[
            "request",
            "plan::ProcessPlan",
            "backend::session",
            "supervise::collect",
            "supervise::outcome",
            "cli::main",
            "cli::is_called",
            "sys",
        ],
    ),
    ("sys", &[]),
];

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

struct Source {
    path: String,
    text: String,
    /// The text with comments, strings and character literals blanked out.
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or_default();
        inside.split_once('/').map_or(inside.trim_end_matches(".rs"), |(room, _)| room)
    }

    /// Lines of code outside test modules, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod").unwrap_or(self.text.len());
        (1..).zip(self.code[..end].lines())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a directory of the repository, without what is built and what git keeps.
fn files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut queue = vec![root().join(below)];
    while let Some(path) = queue.pop() {
        let name = path.file_name().unwrap_or_default();
        if ["target", ".git"].iter().any(|skipped| name == *skipped) {
            continue;
        }
        if path.is_dir() {
            queue.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources(below: &str) -> Vec<Source> {
    let rust = files(below).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        Source { code: code_only(&text), path, text }
    })
    .collect()
}

/// Blanks out comments, strings and character literals; every byte keeps its place.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    while let Some(rest) = bytes.get(out.len()..).filter(|rest| !rest.is_empty()) {
        let length = literal_length(rest, out.last().copied().unwrap_or(b' '));
        match length {
            0 => out.push(if rest[0].is_ascii() { rest[0] } else { b' ' }),
            length => out.extend(rest[..length].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' })),
        }
    }
    String::from_utf8(out).unwrap()
}

/// How long the comment, string or character literal at the start of `rest` is; 0 for none.
fn literal_length(rest: &[u8], before: u8) -> usize {
    let until = |from: usize, end: &[u8]| {
        let body = rest.get(from..).unwrap_or_default();
        body.windows(end.len()).position(|part| part == end).map_or(rest.len(), |at| from + at + end.len())
    };
    let escaped = |from: usize, quote: u8| {
        let mut at = from;
        while at < rest.len() && rest[at] != quote {
            at += if rest[at] == b'\\' { 2 } else { 1 };
        }
        (at + 1).min(rest.len())
    };
    let hashes = rest.iter().skip(1).take_while(|byte| **byte == b'#').count();
    let word_before = before.is_ascii_alphanumeric() && before != b'b' && before != b'c' || before == b'_';
    match rest {
        [b'/', b'/', ..] => until(0, b"\n") - 1,
        [b'/', b'*', ..] => until(2, b"*/"),
        [b'r', ..] if !word_before && rest.get(1 + hashes) == Some(&b'"') => {
            until(2 + hashes, format!("\"{}", "#".repeat(hashes)).as_bytes())
        }
        [b'"', ..] => escaped(1, b'"'),
        [b'\'', b'\\', ..] => escaped(1, b'\''),
        // A lifetime has no closing quote behind one character.
        [b'\'', _, b'\'', ..] => 3,
        [b'\'', first, ..] if !first.is_ascii() => escaped(1, b'\''),
        _ => 0,
    }
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "\n{rule}\n  {}\n", broken.join("\n  "));
}

/// `crate::a::b`, and `crate::{a, b::c}` as its parts.
fn named_paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        let rest = &code[at + start.len()..];
        let group = rest.strip_prefix('{').map(|group| parts(group));
        found.extend(group.unwrap_or_else(|| vec![rest]).into_iter().map(leading_path));
    }
    found.retain(|path| !path.is_empty());
    found
}

/// What stands between the commas of a group that has just been opened.
fn parts(group: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                found.push(&group[start..at]);
                break;
            }
            ',' if depth == 0 => {
                found.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn leading_path(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect()
}

#[test]
fn rooms_name_only_the_rooms_that_they_may() {
    let mut broken = Vec::new();
    for source in sources("src") {
        let room = source.room();
        // A room's tests may make its input with the rooms that make it in earnest.
        if ["lib", "main"].contains(&room) || source.path.ends_with("/tests.rs") {
            continue;
        }
        let Some((_, may)) = EDGES.iter().find(|(name, _)| *name == room) else {
            broken.push(format!("{}: `{room}` is not in the table of rooms", source.path));
            continue;
        };
        for path in named_paths(&source.code) {
            let itself = path == room || path.starts_with(&format!("{room}::"));
            let allowed = may.iter().any(|edge| path == *edge || path.starts_with(&format!("{edge}::")));
            if !itself && !allowed {
                broken.push(format!("{}: names crate::{path}", source.path));
            }
        }
    }
    assert_none("each room names only those that ARCHITECTURE.md lists for it", &broken);
}

/// Reports lines of code in `src/` outside `rooms` that hold one of `words`.
fn only_in(rooms: &[&str], words: &[&str]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| !rooms.contains(&source.room())) {
        for (number, line) in source.lines() {
            broken.extend(
                words.iter().filter(|word| has(line, word)).map(|word| format!("{}:{number}: {word}", source.path)),
            );
        }
    }
    broken
}

/// Whether `word` occurs in `line` and is not a part of a longer name.
fn has(line: &str, word: &str) -> bool {
    let part_of_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !part_of_name(line[..at].chars().next_back()) && !part_of_name(line[at + word.len()..].chars().next())
    })
}

#[test]
fn unsafe_is_only_in_the_cellar() {
    assert_none("`unsafe` belongs in src/sys", &only_in(&["sys", "main"], &["unsafe"]));
    // The binary's entry point must be named `main` for the C runtime, which is an attribute and no code.
    let entry = std::fs::read_to_string(root().join("src/main.rs")).unwrap();
    let named = entry.matches("unsafe").count();
    assert_eq!(named, 2, "src/main.rs: `allow(unsafe_code)` and `unsafe(no_mangle)`, nothing more");
}

/// It is no target of the package, so clippy does not look at it.
#[test]
fn the_driver_loader_argues_for_what_is_unsafe() {
    let mut broken = Vec::new();
    for source in sources("loader") {
        let text: Vec<_> = source.text.lines().map(str::trim).collect();
        let blocks = source.code.lines().enumerate().filter(|(_, line)| line.contains("unsafe {"));
        broken.extend(blocks.filter_map(|(at, _)| {
            // Above the line, or above those that it goes on from.
            let argued = text[at.saturating_sub(4)..at].iter().any(|line| line.starts_with("// SAFETY: "));
            (!argued).then(|| format!("{}:{}", source.path, at + 1))
        }));
        if source.text.lines().count() > FILE_LINES {
            broken.push(format!("{}: more than {FILE_LINES} lines", source.path));
        }
        broken.extend(long_functions(&source));
    }
    assert_none("a SAFETY comment stands above each unsafe block of loader/", &broken);
    let listed = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let table = text.split("DIRECTORIES: &[&str] = &[").nth(1).unwrap().split(']').next().unwrap().to_owned();
        table.split('"').skip(1).step_by(2).map(|path| path.trim_end_matches('/').to_owned()).collect::<Vec<_>>()
    };
    let found = listed("src/host/gpu/libraries.rs");
    assert!(found.len() > 3);
    assert_eq!(listed("loader/library.rs"), found, "both look in the same directories");
}

#[test]
fn only_the_door_prints_and_exits() {
    let words = ["print!", "println!", "eprint!", "eprintln!", "dbg!", "process::exit", "stdout()", "stderr()"];
    assert_none("only src/cli prints or exits", &only_in(&["cli"], &words));
    let forks = ["exit_now"];
    assert_none("only processes that src/backend forked end by exit_now", &only_in(&["backend", "sys"], &forks));
}

#[test]
fn only_the_bridge_has_a_runtime() {
    let named = |source: &Source| source.code.contains("tokio") && !source.path.starts_with("src/supervise/proxy");
    let broken: Vec<_> =
        sources("src").iter().filter(|source| named(source)).map(|source| source.path.clone()).collect();
    assert_none("a runtime must not be where processes are cloned", &broken);
}

#[test]
fn policy_and_plan_do_no_io() {
    let others: Vec<_> =
        EDGES.iter().map(|(room, _)| *room).filter(|room| !["policy", "plan"].contains(room)).collect();
    let words = [
        "std::fs",
        "rustix",
        "std::net",
        "std::process",
        "env::var",
        "env::var_os",
        "env::vars",
        "env::vars_os",
        "current_dir",
        "current_exe",
        "File::open",
        "File::create",
        "OpenOptions",
        "exists()",
        "is_dir()",
        "is_file()",
        "canonicalize",
        "read_link",
        "metadata",
        "symlink_metadata",
        "Instant",
        "SystemTime",
    ];
    assert_none("src/policy and src/plan are pure", &only_in(&others, &words));
}

#[test]
fn nobody_below_the_plan_knows_what_a_gpu_is() {
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| ["backend", "supervise", "sys"].contains(&source.room())) {
        for (line, number) in source.text.to_lowercase().lines().zip(1..) {
            let words = ["nvidia", "cuda", "gpu"].into_iter().filter(|word| line.contains(word));
            broken.extend(words.map(|word| format!("{}:{number}: {word}", source.path)));
        }
    }
    assert_none("below the plan there are only mounts, devices and variables", &broken);
}

#[test]
fn files_and_functions_stay_short() {
    let mut broken = Vec::new();
    let all = ["src", "tests", "benches", "mcp"].into_iter().filter(|dir| root().join(dir).exists()).flat_map(sources);
    for source in all {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            broken.push(format!("{}: {lines} lines, {FILE_LINES} are allowed", source.path));
        }
        if ["src/", "mcp/src/"].iter().any(|below| source.path.starts_with(below)) {
            broken.extend(long_functions(&source));
        }
    }
    assert_none("split it", &broken);
}

/// From the line with `fn` to the one where its braces are closed.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<_> = source.code.lines().collect();
    let mut broken = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| has(line, "fn") && line.contains('(')) {
        let mut depth = 0;
        let mut opened = false;
        let end = lines[start..].iter().position(|line| {
            for c in line.chars() {
                depth += i32::from(c == '{') - i32::from(c == '}');
                opened |= c == '{' || c == ';' && depth == 0;
            }
            opened && depth <= 0
        });
        let length = end.map_or(0, |end| end + 1);
        if length > FUNCTION_LINES {
            let name = line.trim();
            broken.push(format!("{}:{}: {length} lines, {FUNCTION_LINES} are allowed: {name}", source.path, start + 1));
        }
    }
    broken
}

#[test]
fn nothing_is_left_undone_and_no_machine_is_named() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("un", "implemented!")];
    let machines = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home/", "runner")];
    let mut broken = Vec::new();
    for path in files("") {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        for (line, number) in text.lines().zip(1..) {
            // Relative paths such as `../project` and `/proc/self/root` name no machine.
            let starts = |word: &str| {
                let before = |at: usize| line[..at].chars().next_back();
                line.match_indices(word).any(|(at, _)| before(at).is_none_or(|c| !c.is_alphanumeric() && c != '.'))
            };
            let words =
                marks.iter().filter(|word| line.contains(**word)).chain(machines.iter().filter(|word| starts(word)));
            broken.extend(words.map(|word| format!("{shown}:{number}: {word}")));
        }
    }
    assert_none("finish it, or say in prose what is not promised; paths belong to no machine", &broken);
}

#[test]
fn every_page_is_listed_and_executed() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    // The last ones are made from the code, and compared with it.
    let runner = read("tests/docs.rs") + &read("tests/gpu_hosts/published.rs") + &read("src/cli/outcome.rs");
    let mut broken = Vec::new();
    // What was measured cannot be executed again.
    let unlike = |page: &Path| {
        let directory = page.parent().unwrap();
        directory.ends_with("benchmarks") || directory.ends_with("recording") || page.ends_with("SUMMARY.md")
    };
    for page in files("docs").into_iter().filter(|page| !unlike(page)) {
        let name = format!("docs/{}", page.file_name().unwrap().to_str().unwrap());
        for (place, text, mark) in [("README.md", &readme, "("), ("tests/docs.rs", &runner, "../")] {
            if !text.contains(&format!("{mark}{name}")) {
                broken.push(format!("{name} is not in {place}"));
            }
        }
    }
    assert_none("a page that nobody finds or runs is worth nothing", &broken);
}

/// The site has each page once, and nothing that is not there; those of the root stand beside them in it.
#[test]
fn the_summary_lists_each_page() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed: Vec<_> = summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    let pages = |directory: &str| {
        let all = std::fs::read_dir(root().join(directory)).unwrap().flatten().map(|entry| entry.path());
        let pages =
            all.filter(|path| path.extension().is_some_and(|kind| kind == "md") && !path.ends_with("SUMMARY.md"));
        pages.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let times = |page: &String| listed.iter().filter(|listed| **listed == page.as_str()).count();
    let mut broken: Vec<_> = pages("docs").into_iter().filter(|page| times(page) != 1).collect();
    assert!(listed.len() > 10, "{listed:?}");
    let there = |page: &str| root().join("docs").join(page).exists() || root().join(page).exists();
    broken.extend(listed.iter().filter(|page| !there(page)).map(|page| format!("{page} is not there")));
    assert_none("docs/SUMMARY.md lists each page of docs/ once", &broken);
}

/// A promise without the test that holds it is none: what a page links to below the root is there.
#[test]
fn links_of_pages_lead_to_files() {
    let pages = std::fs::read_dir(root()).unwrap().chain(std::fs::read_dir(root().join("docs")).unwrap()).flatten();
    let mut broken = Vec::new();
    let mut followed = 0;
    let pages = pages.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    for page in pages.filter(|path| !path.ends_with("SUMMARY.md")) {
        let text = std::fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' ')) {
            followed += 1;
            if !page.with_file_name(target).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert_none("links of pages lead to files", &broken);
    assert!(followed > 30, "{followed} links were found");
}

#[test]
fn the_build_runs_what_the_readme_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let script = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    let command = "\ncargo test\n";
    assert!(readme.contains(command), "README.md has no line `cargo test`");
    assert!(script.contains(command), ".ci/run has no line `cargo test`");
}

#[test]
fn architecture_lists_the_same_edges() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(page.lines().count() <= 150, "ARCHITECTURE.md has more than 150 lines");
    let mut broken = Vec::new();
    for (room, may) in EDGES {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{room}` |"))).unwrap_or_default();
        let named: Vec<_> = row.split('|').nth(2).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        let everything = *room == "cli" && row.contains("everything");
        if named != *may && !everything {
            broken.push(format!("`{room}` may name {may:?}, the page says {named:?}"));
        }
    }
    assert_none("the table of rooms in ARCHITECTURE.md is the one of this test", &broken);
}

#[test]
fn the_scanners_see_code_and_nothing_else() {
    let text = "let a = \"fn {\"; // fn {\nlet b = '{'; let c = r#\"}\"#; fn d<'a>(x: &'a str) {}\n";
    let code = code_only(text);
    assert_eq!(code.matches('{').count(), 1, "{code}");
    assert_eq!(code.len(), text.len());
    assert!(has("x = unsafe { 1 }", "unsafe") && !has("allow(unsafe_code)", "unsafe"));
    let paths = named_paths("use crate::{host, plan::a, x::{b, c}}; use crate::y::Z;");
    assert_eq!(paths, ["host", "plan::a", "x::", "y::Z"]);
}
