//! Secrets of the caller: files in HOME, variables, other processes.

use crate::lab::{Lab, Need};

const NONE: [&str; 0] = [];

const STORES: &[&str] = &[
    ".ssh/id_ed25519",
    ".gnupg/private-keys-v1.d/k",
    ".aws/credentials",
    ".azure/tokens",
    ".config/gcloud/credentials.db",
    ".config/gh/hosts.yml",
    ".kube/config",
    ".docker/config.json",
    ".netrc",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".cargo/credentials.toml",
    ".codex/auth.json",
    ".mozilla/firefox/logins.json",
];

#[test]
fn a_home_that_only_its_owner_enters_is_in_nobody_s_way() {
    for lab in Lab::as_root(&[]) {
        let home = lab.dir("home/of-other");
        let (store, socket) = (lab.file("home/of-other/.ssh/id", "secret"), lab.path("home/of-other/run/socket"));
        lab.dir("home/of-other/run");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::chown(&home, Some(54321), Some(54321)).unwrap();
        lab.chmod("home/of-other", 0o700);
        for engine in lab.engines() {
            // Its owner may open it meanwhile: what is in it stays hidden.
            let running = lab.sandbox(NONE).backend(engine).env("HOME", &home).waiting().start([
                "sh",
                "-c",
                "cat \"$1\" 2>&1; echo ready; read x; cat \"$1\" 2>&1",
                "sh",
                &store,
            ]);
            running.wait_for("ready");
            lab.chmod("home/of-other", 0o755);
            let ran = running.finish();
            lab.chmod("home/of-other", 0o700);
            ran.assert_code(1);
            assert!(!ran.stdout().contains("secret"), "{engine}: {ran}");
        }
        lab.outside(&format!("cat {store}")).assert_prints("secret");
        drop(listener);
    }
}

#[test]
fn credential_stores_in_home_are_hidden_unless_they_are_named() {
    for lab in Lab::every_user(&[]) {
        for store in STORES {
            lab.file(format!("home/{store}"), "secret");
        }
        lab.file("home/.bashrc", "plain");
        lab.sandbox(NONE).sh("cat $HOME/.bashrc").assert_prints("plain");
        for mode in ["read-only", "workspace-write"] {
            let readable = "for f in $(cd; find . -type f); do cat ~/$f; done 2>/dev/null; true";
            lab.sandbox(["-s", mode]).sh(readable).assert_prints("plain");
        }
        for store in STORES {
            let path = lab.path(format!("home/{store}"));
            let top = lab.path(format!("home/{}", store.split('/').next().unwrap()));
            lab.sandbox(NONE).run(["cat", &path]).assert_refused_for(&path);
            lab.sandbox(["--read", &path]).run(["cat", &path]).assert_prints("secret");
            lab.sandbox(["-s", "full-access"]).run(["cat", &path]).assert_prints("secret");
            if [".ssh", ".aws", ".kube", ".netrc"].iter().any(|name| top.ends_with(name)) {
                lab.sandbox(["--read", &top]).run(["cat", &path]).assert_prints("secret");
            }
        }
    }
}

#[test]
fn a_store_that_is_a_link_hides_what_it_leads_to() {
    for lab in Lab::every_user(&[]) {
        let key = lab.file("dotfiles/ssh/id", "secret");
        lab.link("home/.ssh", lab.path("dotfiles/ssh"));
        lab.sandbox(NONE).sh("cat ~/.ssh/id").assert_refused();
        lab.sandbox(NONE).run(["cat", &key]).assert_refused_for(&key);
        lab.outside("cat ~/.ssh/id").assert_prints("secret");
    }
}

#[test]
fn password_hashes_are_hidden_from_root() {
    for lab in Lab::as_root(&[]) {
        lab.sandbox(NONE).run(["cat", "/etc/shadow"]).assert_refused_for("/etc/shadow");
        lab.sandbox(["--read", "/etc/shadow"]).run(["cat", "/etc/shadow"]).assert_works();
    }
}

#[test]
fn variables_that_look_like_secrets_are_dropped_unless_they_are_named() {
    let secrets = [
        "GH_TOKEN",
        "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "my_password",
        "DB_PASSWD",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "SSH_AUTH_SOCK",
        "DATABASE_URL",
        "SESSION_COOKIE",
    ];
    let harmless = ["TOKENIZERS_PARALLELISM", "KEYBOARD", "EDITOR"];
    for lab in Lab::every_user(&[]) {
        let with = |options: &[&str]| {
            secrets.iter().chain(&harmless).fold(lab.sandbox(options), |sandbox, name| sandbox.env(name, "v4lue"))
        };
        let names = |text: String| {
            let mut names: Vec<_> =
                text.lines().filter_map(|line| line.strip_suffix("=v4lue")).map(str::to_owned).collect();
            names.sort();
            names
        };
        let show = "tr '\\0' '\\n' < /proc/self/environ";
        assert_eq!(names(with(&[]).sh(show).stdout()), ["EDITOR", "KEYBOARD", "TOKENIZERS_PARALLELISM"]);
        let one = names(with(&["--env", "GH_TOKEN"]).sh(show).stdout());
        assert_eq!(one, ["EDITOR", "GH_TOKEN", "KEYBOARD", "TOKENIZERS_PARALLELISM"]);
        assert_eq!(names(with(&[]).without().sh(show).stdout()).len(), secrets.len() + harmless.len());
        with(&["--env", "GH_TOKEN=other"]).sh("echo $GH_TOKEN").assert_prints("other");
        let cleared = with(&["--env-clear", "--env", "EDITOR", "--env", "A=b"]).run(["/usr/bin/env"]).stdout();
        let mut cleared: Vec<_> = cleared.lines().filter(|line| !line.starts_with("RINGFENCE=")).collect();
        cleared.sort_unstable();
        assert_eq!(cleared, ["A=b", "EDITOR=v4lue"]);
    }
}

#[test]
fn dropped_secrets_cannot_be_read_from_the_processes_above() {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        let search = "import glob\nfor p in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n  \
            try: print(p, b'v4lue' in open(p,'rb').read())\n  except OSError as e: print(p, type(e).__name__)";
        let sandbox = lab.sandbox(NONE).env("GH_TOKEN", "v4lue");
        let seen = sandbox.python(search).assert_works().stdout();
        assert!(!seen.contains("environ True"), "{seen}");
        assert!(seen.contains("/proc/1/environ PermissionError"), "init can be read: {seen}");
        let control = lab.sandbox(["--env", "GH_TOKEN"]).env("GH_TOKEN", "v4lue").python(search).stdout();
        assert!(control.contains("environ True"), "{control}");
    }
}

#[test]
fn processes_of_the_host_cannot_be_seen_or_signalled() {
    for lab in Lab::every_user(&[]) {
        let me = std::process::id();
        let sleeper = lab.sandbox(NONE).without().waiting().start(["cat"]);
        let kill = format!("kill -9 {}", sleeper.pid());
        lab.sandbox(NONE).sh(&kill).assert_says("No such process");
        lab.sandbox(NONE).sh(&format!("kill -0 {me}")).assert_says("No such process");
        assert_eq!(sleeper.state(), "S");
        let inside: u32 = lab.sandbox(NONE).sh("ls -d /proc/[0-9]* | wc -l").stdout().parse().unwrap();
        assert!(inside <= 4, "{inside} processes");
        lab.outside(&kill).assert_works();
        sleeper.finish().assert_code(137);
    }
}

#[test]
fn without_proc_there_is_none() {
    for lab in Lab::every_user(&[]) {
        lab.sandbox(["--no-proc"]).sh("echo /proc/*").assert_prints("/proc/*");
        assert!(lab.sandbox(NONE).sh("echo /proc/*").stdout().contains("/proc/self"));
    }
}
