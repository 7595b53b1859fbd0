//! Profiles with the real tools: the work succeeds, and no credential of the tool's can be read.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::lab::{Lab, Need, need};

const NONE: [&str; 0] = [];

/// Where a tool is that a lab's user can start; none, loudly, where there is none.
fn tool(lab: &Lab, name: &str) -> Option<String> {
    let of_path = std::env::var_os("PATH").unwrap_or_default();
    // Cargo tells its tests where it is; the one on PATH may be a link that asks where the toolchains are.
    let own = std::env::var_os("CARGO").filter(|_| name == "cargo").map(PathBuf::from);
    let mut places = ["/usr/local/bin", "/usr/bin"].map(PathBuf::from).to_vec();
    places.extend(std::env::split_paths(&of_path));
    let candidates = own.into_iter().chain(places.into_iter().map(|place| place.join(name)));
    let works = |path: &PathBuf| path.exists() && lab.outside(&format!("{} --version", path.display())).code() == 0;
    let found = candidates.filter(|path| !path.starts_with("/tmp")).find(works);
    if found.is_none() {
        need::skip(name, lab.user, &format!("there is no {name} that works"));
    }
    found.map(|path| path.to_string_lossy().into_owned())
}

/// A credential is hidden with the profile, a program's directory cannot be written, and both are open without a sandbox.
fn assert_keeps(lab: &Lab, profile: &str, credential: &str, program: &str) {
    let (secret, directory) = (lab.file(format!("home/{credential}"), "secret"), lab.dir(format!("home/{program}")));
    let (read, write) = (format!("cat '{secret}'"), format!("touch '{directory}/planted'"));
    lab.sandbox(["--profile", profile]).sh(&read).assert_refused_for(&secret);
    lab.sandbox(["--profile", profile]).sh(&write).assert_refused_for(&directory);
    // The controls.
    lab.outside(&read).assert_prints("secret");
    lab.outside(&write).assert_works();
    lab.sandbox(["--profile", profile, "--read", &secret]).sh(&read).assert_prints("secret");
}

/// A registry in a directory with one crate, which cargo unpacks below `~/.cargo/registry`.
fn registry(lab: &Lab, cargo: &str) {
    lab.file(
        "dep/Cargo.toml",
        "[package]\nname = \"dep\"\nversion = \"1.0.0\"\nedition = \"2021\"\ndescription = \"d\"\nlicense = \"MIT\"\n",
    );
    lab.file("dep/src/lib.rs", "pub fn seven() -> u32 { 7 }\n");
    let package = format!("cd ../dep && {cargo} package --offline -q --no-verify --allow-dirty --target-dir ../packed");
    lab.outside(&package).assert_works();
    let archive = std::fs::read(lab.path("packed/package/dep-1.0.0.crate")).unwrap();
    let sum: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
    lab.dir("registry");
    lab.outside("cp ../packed/package/dep-1.0.0.crate ../registry").assert_works();
    let line = format!(r#"{{"name":"dep","vers":"1.0.0","deps":[],"cksum":"{sum}","features":{{}},"yanked":false}}"#);
    lab.file("registry/index/3/d/dep", &format!("{line}\n"));
    let source = format!(
        "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = \"{}\"\n",
        lab.path("registry")
    );
    lab.file("home/.cargo/config.toml", &source);
}

#[test]
fn cargo_unpacks_builds_and_runs() {
    for lab in Lab::every_user(&[Need::Tool("gcc")]) {
        let Some(cargo) = tool(&lab, "cargo") else { continue };
        let rustc = Path::new(&cargo).with_file_name("rustc");
        let cargo = format!("RUSTC={} {cargo}", rustc.display());
        registry(&lab, &cargo);
        lab.file(
            "work/Cargo.toml",
            "[package]\nname = \"c\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ndep = \"1\"\n",
        );
        lab.file("work/src/main.rs", "fn main() { println!(\"{}\", dep::seven()); }\n");
        let run = format!("{cargo} run --offline -q");
        lab.dir("home/.cargo/registry");
        assert_ne!(lab.sandbox(NONE).sh(&run).code(), 0, "the cache is not needed, so this shows nothing");
        lab.sandbox(["--profile", "cargo"]).sh(&run).assert_prints("7");
        let unpacked = std::fs::read_dir(lab.path("home/.cargo/registry/src")).unwrap().count();
        assert_eq!(unpacked, 1, "the cache is the host's");
        assert_keeps(&lab, "cargo", ".cargo/credentials.toml", ".cargo/bin");
        // What the user denies stays denied, though the profile is about a path below.
        let denied = lab.sandbox(["--profile", "cargo", "--deny", &lab.path("home/.cargo")]).sh("ls ~/.cargo/registry");
        denied.assert_refused_for(&lab.path("home/.cargo"));
    }
}

#[test]
fn npm_installs_and_runs() {
    for lab in Lab::every_user(&[Need::Tool("node")]) {
        let Some(npm) = tool(&lab, "npm") else { continue };
        lab.file("work/dep/package.json", r#"{"name":"dep","version":"1.0.0","main":"i.js"}"#);
        lab.file("work/dep/i.js", "module.exports = 7\n");
        lab.file(
            "work/package.json",
            r#"{"name":"c","version":"1.0.0","scripts":{"start":"node -p \"require('dep')\""}}"#,
        );
        lab.outside(&format!("cd dep && {npm} pack --silent --pack-destination .. && rm -r ../dep")).assert_works();
        std::fs::remove_dir_all(lab.path("home/.npm")).unwrap_or_default();
        for directory in ["_cacache", "_logs"] {
            lab.dir(format!("home/.npm/{directory}"));
        }
        let install = format!("{npm} install --offline --silent ./dep-1.0.0.tgz && {npm} start --silent");
        assert_ne!(lab.sandbox(NONE).sh(&install).code(), 0, "the cache is not needed, so this shows nothing");
        lab.sandbox(["--profile", "npm"]).sh(&install).assert_prints("7");
        assert!(lab.exists("home/.npm/_cacache/index-v5"), "the cache is the host's");
        assert_keeps(&lab, "npm", ".npmrc", ".npm/_npx");
    }
}

/// A wheel of one module.
fn wheel(lab: &Lab) {
    let script = "import zipfile; z = zipfile.ZipFile('dep-1.0-py3-none-any.whl', 'w')\n\
        for name, text in [('dep.py', 'seven = 7\\n'), ('dep-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: dep\\nVersion: 1.0\\n'),\n\
        \u{20}('dep-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'), ('dep-1.0.dist-info/RECORD', '')]:\n\
        \u{20}z.writestr(name, text)\nz.close()";
    lab.sandbox(NONE).without().python(script).assert_works();
}

#[test]
fn pip_installs_into_an_environment_of_the_workspace() {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        if lab.outside("python3 -m venv env && env/bin/pip --version").code() != 0 {
            need::skip("pip", lab.user, "python3 makes no environments with pip");
            continue;
        }
        wheel(&lab);
        lab.dir("home/.cache/pip");
        let install =
            "env/bin/pip install -q --no-index --find-links . dep && env/bin/python -c 'import dep; print(dep.seven)'";
        lab.sandbox(["--profile", "pip"]).sh(install).assert_prints("7");
        let cache = "touch ~/.cache/pip/kept";
        lab.sandbox(NONE).sh(cache).assert_refused_for(".cache/pip");
        lab.sandbox(["--profile", "pip"]).sh(cache).assert_works();
        assert!(lab.exists("home/.cache/pip/kept"));
        assert_keeps(&lab, "pip", ".pypirc", ".local/bin");
    }
}

#[test]
fn uv_installs_into_an_environment_of_the_workspace() {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        let Some(uv) = tool(&lab, "uv") else { continue };
        wheel(&lab);
        lab.dir("home/.cache/uv");
        let install = format!(
            "export UV_CACHE_DIR=~/.cache/uv; {uv} venv -q --offline --clear env && {uv} pip install -q --offline --no-index --find-links . -p env dep && \
             env/bin/python -c 'import dep; print(dep.seven)'"
        );
        let without = lab.sandbox(NONE).sh(&install);
        assert_ne!(without.code(), 0, "the cache is not needed, so this shows nothing");
        lab.sandbox(["--profile", "uv"]).sh(&install).assert_prints("7");
        assert_keeps(&lab, "uv", ".local/share/uv/credentials/credentials.toml", ".local/bin");
    }
}

#[test]
fn git_commits_and_keeps_its_hooks() {
    for lab in Lab::every_user(&[Need::Tool("git")]) {
        lab.file("home/.gitconfig", "[user]\nname = n\nemail = e@example.org\n");
        lab.outside("git init -q . && echo 1 > f").assert_works();
        let commit = "git add f && git commit -qm first && git log --format=%s";
        assert_ne!(lab.sandbox(NONE).sh(commit).code(), 0);
        lab.sandbox(["--profile", "git"]).sh(commit).assert_prints("first");
        lab.sandbox(["--profile", "git", "--git", "protect"])
            .sh("git commit -q --allow-empty -m x")
            .assert_refused_for(".git");
        assert_keeps(&lab, "git", ".git-credentials", "work/../../work/.git/hooks");
    }
}

/// The agents' own logins are what they work with; others stay hidden.
#[test]
fn an_agent_reads_its_own_login_and_no_other() {
    let table = [
        ("codex", ".codex/auth.json", ".codex/config.toml", ".claude/.credentials.json"),
        ("claude-code", ".claude/.credentials.json", ".claude/settings.json", ".codex/auth.json"),
        ("opencode", ".local/share/opencode/auth.json", ".config/opencode/opencode.json", ".codex/auth.json"),
    ];
    for lab in Lab::every_user(&[]) {
        for (profile, own, settings, other) in table {
            for file in [own, settings, other] {
                lab.file(format!("home/{file}"), "secret");
            }
            let cat = |file: &str| format!("cat ~/{file}");
            let sandbox = || lab.sandbox(["--profile", profile]);
            sandbox().sh(&cat(own)).assert_prints("secret");
            sandbox().sh(&format!("echo renewed > ~/{own}")).assert_works();
            sandbox().sh(&cat(settings)).assert_prints("secret");
            sandbox().sh(&format!("echo evil > ~/{settings}")).assert_refused_for(settings);
            sandbox().sh(&cat(other)).assert_refused_for(other);
            lab.sandbox(NONE).sh(&cat(own)).assert_refused_for(own);
            sandbox().env("OPENAI_API_KEY", "k").env("GITHUB_TOKEN", "t").sh("echo $GITHUB_TOKEN").assert_prints("");
        }
    }
}

#[test]
fn what_init_writes_is_what_it_says() {
    for lab in Lab::native(&[]) {
        for name in ["Cargo.toml", "nb.ipynb"] {
            lab.file(format!("work/{name}"), "");
        }
        lab.dir("home/.cargo/registry");
        lab.dir("home/.cache/pip");
        let binary = lab.sandbox(NONE).binary().display().to_string();
        let init = |words: &str| lab.outside(&format!("{binary} init {words}"));
        init("--profile pipp").assert_says("there is no profile `pipp`");
        let told = init("").stdout();
        assert!(
            told.contains("profile cargo because of Cargo.toml\n  profile jupyter because of a notebook"),
            "{told}"
        );
        init("").assert_error("`ringfence.toml` is here already");
        let touch = "touch ~/.cargo/registry/x";
        lab.sandbox(NONE).sh(touch).assert_refused_for(".cargo/registry");
        lab.sandbox(["--config", "ringfence.toml", "--profile", "git", "--net", "none"]).sh(touch).assert_works();
        lab.sandbox(["--config", "ringfence.toml"])
            .sh("echo 'net = \"host\"' > ringfence.toml")
            .assert_refused_for("ringfence.toml");
        let plan = lab.outside(&format!("{binary} plan --config ringfence.toml -- true")).stdout();
        assert!(plan.contains("profile cargo:") && plan.contains("profile jupyter:"), "{plan}");
        std::fs::remove_file(lab.path("work/ringfence.toml")).unwrap();
        assert!(init("--profile pip").stdout().contains("profile pip because --profile names it"));
        let text = lab.content("work/ringfence.toml");
        assert!(text.contains("`cargo` would fit too"), "{text}");
        lab.sandbox(["--config", "ringfence.toml", "--net", "none", "--profile", "git"])
            .sh("touch ~/.cache/pip/x")
            .assert_works();
        // A link is not followed.
        std::fs::remove_file(lab.path("work/ringfence.toml")).unwrap();
        lab.link("work/ringfence.toml", "elsewhere");
        init("").assert_error("is here already");
        assert!(!lab.exists("work/elsewhere"));
    }
}

#[test]
fn a_file_may_name_profiles_and_a_session_may_be_started_with_one() {
    for lab in Lab::native(&[]) {
        lab.dir("home/.cache/pip");
        lab.dir("home/.config/ringfence");
        let touch = "touch ~/.cache/pip/x";
        lab.sandbox(NONE).sh(touch).assert_refused_for(".cache/pip");
        let file = lab.file("named.toml", "profile = [\"pip\"]\nnet = \"none\"\n");
        lab.sandbox(["--config", &file, "--profile", "git"]).sh(touch).assert_works();
        let wrong = lab.file("wrong.toml", "\nprofile = [\"pipp\"]\n");
        lab.sandbox(["--config", &wrong])
            .sh("true")
            .assert_says("wrong.toml:2: there is no profile `pipp`")
            .assert_says("`pip`");
    }
}
