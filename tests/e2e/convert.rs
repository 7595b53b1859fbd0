//! Settings of other tools, from their file to what the command can do: what they allow works, what they do not is refused.

use crate::lab::{Lab, Need};

const NONE: [&str; 0] = [];

/// The settings in our own format, as a file of the lab.
fn converted(lab: &Lab, options: &str) -> String {
    let binary = lab.sandbox(NONE).binary().display().to_string();
    let ran = lab.outside(&format!("{binary} convert {options}"));
    ran.assert_works();
    lab.file("converted.toml", &ran.stdout())
}

/// Both the settings themselves and what they are converted to are enforced.
fn assert_enforces(lab: &Lab, config: &str, works: &[&str], refused: &[(&str, &str)]) {
    for script in works {
        lab.sandbox(["--config", config]).sh(script).assert_works();
    }
    for (script, path) in refused {
        lab.sandbox(["--config", config]).sh(script).assert_refused_for(path);
        lab.outside(script).assert_works();
    }
}

#[test]
fn settings_of_codex() {
    for lab in Lab::every_user(&[]) {
        lab.file("granted/x", "");
        let (granted, hidden) = (lab.path("granted"), lab.file("home/notes", "x"));
        lab.dir("other");
        let modes = lab.file(
            "home/.codex/config.toml",
            &format!(
                "model = \"m\"\nsandbox_mode = \"workspace-write\"\n[sandbox_workspace_write]\nwritable_roots = [\"{granted}\"]\n\
                 [shell_environment_policy]\ninherit = \"core\"\nset = {{ A = \"1\" }}\n"
            ),
        );
        let text = format!(
            "default_permissions = \"p\"\n[permissions.p.filesystem]\n\":root\" = \"read\"\n\":workspace_roots\" = \"write\"\n\
             \"{granted}\" = \"write\"\n\"{hidden}\" = \"deny\"\n"
        );
        let profiles = lab.file("profiles.toml", &text);
        for settings in [&modes, &profiles] {
            let converted = converted(&lab, &format!("--config {settings}"));
            for config in [settings, &converted] {
                let works = ["touch here", "echo x > ../granted/x", "cat /etc/passwd"];
                assert_enforces(&lab, config, &works, &[("touch ../other/x", "../other/x"), ("touch ~/x", "/home/x")]);
            }
        }
        let variables = "echo $A $HOME $B";
        let home = lab.path("home");
        lab.sandbox(["--config", &modes]).env("B", "2").sh(variables).assert_prints(&format!("1 {home}"));
        lab.sandbox(NONE).env("B", "2").sh(variables).assert_prints(&format!("{home} 2"));
        assert_enforces(&lab, &profiles, &["cat ../home/.codex/config.toml"], &[("cat ~/notes", "notes")]);
    }
}

#[test]
fn settings_of_srt() {
    for lab in Lab::every_user(&[]) {
        lab.dir("granted/kept");
        lab.file("granted/x", "");
        lab.dir("other");
        lab.dir("work/kept");
        lab.file("home/notes", "x");
        lab.file("home/open/x", "x");
        let text = format!(
            r#"{{"network": {{"allowedDomains": [], "deniedDomains": []}}, "filesystem": {{"denyRead": ["{0}/home"], "allowRead": ["{0}/home/open"],
                "allowWrite": [".", "{0}/granted", "{0}/missing"], "denyWrite": ["{0}/granted/kept", "kept"]}}}}"#,
            lab.path("")
        );
        let settings = lab.file("srt.json", &text);
        let converted = converted(&lab, &format!("--config {settings}"));
        for config in [&settings, &converted] {
            assert_enforces(
                &lab,
                config,
                &["touch here", "echo x > ../granted/x", "cat ../home/open/x"],
                &[
                    ("touch ../other/x", "../other/x"),
                    ("touch ../granted/kept/x", "kept/x"),
                    ("touch kept/x", "kept/x"),
                    ("cat ../home/notes", "notes"),
                    ("touch ../home/open/x", "open/x"),
                ],
            );
        }
    }
}

#[test]
fn a_command_line_of_bubblewrap() {
    for lab in Lab::every_user(&[Need::Tool("bwrap")]) {
        for directory in ["granted", "other", "hidden"] {
            lab.file(format!("{directory}/x"), "x");
        }
        let line = "--ro-bind / / --dev /dev --proc /proc --tmpfs \"$PWD/../hidden\" --bind \"$PWD\" \"$PWD\" --bind \"$PWD/../granted\" \
                    \"$PWD/../granted\" --bind-try /no/such /no/such --unshare-all --die-with-parent --setenv A 1";
        let converted = converted(&lab, &format!("--format bwrap -- bwrap {line} sh -c true"));
        let works = ["touch here", "echo y > ../granted/x", "cat ../other/x", "test $A = 1"];
        let refused = [("touch ../other/y", "other/y"), ("ls ../hidden", "hidden")];
        assert_enforces(&lab, &converted, &works, &refused);
        let reach = "python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 1)'";
        assert_ne!(lab.sandbox(["--config", &converted]).sh(reach).code(), 0);
        // The reference: bubblewrap itself decides the same.
        for (script, want) in works.map(|script| (script, true)).into_iter().chain([("touch ../other/y", false)]) {
            let ran = lab.outside(&format!("bwrap {line} sh -c '{script}'"));
            assert_eq!(ran.code() == 0, want, "{ran}");
        }
        let binary = lab.sandbox(NONE).binary().display().to_string();
        let refused = lab.outside(&format!("{binary} convert --format bwrap -- bwrap --bind /a /b --uid 0 true"));
        refused.assert_code(2).assert_says("argument 1: `--bind /a /b`").assert_says("argument 4: `--uid 0`");
    }
}

/// Each option takes as many words as bubblewrap takes: else what follows is misread.
#[test]
fn every_option_of_the_installed_bubblewrap_is_known() {
    let Some(lab) = Lab::native(&[Need::Tool("bwrap")]).into_iter().next() else { return };
    let help = lab.outside("bwrap --help").stdout();
    let binary = lab.sandbox(NONE).binary().display().to_string();
    let convert = |words: &str| lab.outside(&format!("{binary} convert --format bwrap -- bwrap {words} 2>&1")).stdout();
    let options = help.lines().map(str::trim).filter(|line| line.starts_with("--"));
    let mut seen = 0;
    for line in options.filter(|line| !line.starts_with("--help") && !line.starts_with("--version")) {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        let is_value = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let values = words.take_while(is_value).count();
        // The next word is an option again, and not a value of this one.
        let told = convert(&format!("{name} {} --no-such-option", "/v ".repeat(values)));
        let unknown = told.matches("is no option that is known").count();
        assert!(unknown == 1 && told.contains("`--no-such-option`"), "{line}: {told}");
        if values > 0 {
            let told = convert(&format!("{name} {}", "/v ".repeat(values - 1)));
            assert!(told.contains("wants more words"), "{line}: {told}");
        }
        seen += 1;
    }
    assert!(seen > 30, "{help}");
}
