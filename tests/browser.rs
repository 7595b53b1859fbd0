//! `plan --html` in a real browser: it renders, its counts are those of the plan, and no name on it becomes a script.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

#[allow(unreachable_pub, reason = "shared by tests")]
mod tools;

/// Where it ran, the page would have another title.
const EVIL: &str = "<img src=x onerror=\"document.title='RAN'\">";

/// The page after the browser has loaded it and run what there is to run.
fn dom(page: &Path, profile: &Path) -> String {
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]);
    chromium.args(["--disable-component-update", "--disable-sync", "--no-first-run", "--virtual-time-budget=2000"]);
    chromium.arg(format!("--user-data-dir={}", profile.display())).arg("--dump-dom");
    let output = chromium.arg(format!("file://{}", page.display())).env("HOME", profile).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn title(dom: &str) -> &str {
    dom.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0
}

fn plan(workspace: &Path, how: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.args([
        "plan",
        how,
        "--deny",
        "*",
        "--timeout",
        "5m",
        "--",
        "echo",
        EVIL,
        "<script>document.title='RAN'</script>",
    ]);
    let output = command.current_dir(workspace).env("EVIL_TOKEN", EVIL).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_page_renders_and_nothing_on_it_runs() {
    if !tools::have("chromium") {
        return;
    }
    let place = tools::directory();
    let workspace = place.path().join("workspace");
    std::fs::create_dir(&workspace).unwrap();
    std::fs::write(workspace.join(EVIL), "").unwrap();
    std::fs::write(workspace.join(std::ffi::OsStr::from_bytes(b"not text \xff<i>")), "").unwrap();
    let page = place.path().join("page.html");
    std::fs::write(&page, plan(&workspace, "--html")).unwrap();
    let dom = dom(&page, &place.path().join("profile"));
    assert!(title(&dom).starts_with("echo &lt;img"), "{}", title(&dom));
    assert!(!dom.contains("<img") && !dom.contains("<script"), "names are text");
    assert!(dom.contains("not text \u{fffd}&lt;i&gt;"), "a name that is no text is shown as far as it is");
    let tree = plan(&workspace, "--tree");
    let counts = tree.lines().find_map(|line| line.strip_prefix("paths: ")).unwrap();
    for count in counts.split(", ") {
        let level = count.split_once(' ').unwrap().1;
        assert!(dom.contains(&format!("data-level=\"{level}\">{count}<")), "{count}");
    }
    for wanted in ["<h2>Files</h2>", "<h2>Network</h2>", "end after 300s", "<summary>"] {
        assert!(dom.contains(wanted), "{wanted}");
    }
}

/// Without escaping it would run: the test above could see it.
#[test]
fn a_browser_runs_what_is_not_escaped() {
    if !tools::have("chromium") {
        return;
    }
    let place = tools::directory();
    let page = place.path().join("page.html");
    std::fs::write(&page, format!("<!doctype html><title>still</title><p>{EVIL}")).unwrap();
    assert_eq!(title(&dom(&page, &place.path().join("profile"))), "RAN");
}
