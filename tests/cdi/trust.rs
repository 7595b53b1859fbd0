//! Which files count: directories in their order, conflicts, and whose word a file is.

use expect_test::expect;

use crate::lab::{Machine, OWN, spec};

fn env(value: &str) -> String {
    spec(&format!("\"env\":[\"WHO={value}\"]"))
}

fn who(machine: &Machine) -> String {
    match machine.plan(&["v.test/d=a"]) {
        Ok(plan) => plan.env[0].1.to_str().unwrap().to_owned(),
        Err(errors) => panic!("{}", errors[0]),
    }
}

/// Files in the directories of every machine must be root's.
fn as_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
        assert!(!must.split(',').any(|need| need == "root"), "the suite runs as an ordinary user");
        eprintln!("SKIPPED: only root can make files of root's");
    }
    root
}

#[test]
fn the_later_directory_wins() {
    if !as_root() {
        return;
    }
    let machine = Machine::new().file("/etc/cdi/a.yaml", env("etc"));
    assert_eq!(who(&machine), "etc");
    let machine = machine.file("/run/cdi/z.json", env("run")).dir("/var").link("/var/run", "/run");
    assert_eq!(who(&machine), "run", "by the link, as on every machine");
    let machine = machine.file("/cdi/a.yaml", env("own"));
    assert_eq!(who(&machine), "own");
    assert_eq!(machine.available(), ["v.test/d=a"]);
}

#[test]
fn one_directory_by_two_names_counts_once() {
    let machine = Machine::new().dirs(&["/cdi", "/other", "/cdi/../cdi"]).file("/cdi/a.yaml", env("own"));
    let machine = machine.link("/other", "cdi");
    assert_eq!(who(&machine), "own");
    assert_eq!(machine.file("/cdi/bad.json", "{").specs(&[]).faults.len(), 1);
}

#[test]
fn of_the_user_s_directories_the_last_wins() {
    let machine = Machine::new().file("/one/a.yaml", env("one")).file("/two/a.yaml", env("two"));
    let machine = machine.dirs(&["/one", "/two"]);
    assert_eq!(who(&machine), "two");
    assert_eq!(who(&machine.dirs(&["/two", "/one"])), "one");
}

#[test]
fn twice_in_one_directory_is_a_conflict() {
    let machine = Machine::new().file("/cdi/a.yaml", env("a")).file("/cdi/b.json", env("b"));
    machine.check(&["v.test/d=a"], &expect![[r#"
        error: CDI device v.test/d=a cannot be used: it stands in several files of one directory: /cdi/a.yaml, /cdi/b.json
          needed by: --gpu cdi:v.test/d=a
        hint: remove one of them, or move it to a directory of its own
    "#]]);
    assert!(machine.available().is_empty());
    // One of a later directory settles it.
    let machine = machine.dirs(&[OWN, "/later"]).file("/later/c.json", env("later"));
    assert_eq!(who(&machine), "later");
    assert_eq!(machine.available(), ["v.test/d=a"]);
}

#[test]
fn other_names_and_directories_below_are_not_read() {
    let machine = Machine::new();
    for file in
        ["/cdi/a.yml", "/cdi/a.json.bak", "/cdi/json", "/cdi/a.JSON", "/cdi/below/a.json", "/cdi/dir.json/a.json"]
    {
        let machine = Machine::new().file(file, env("x"));
        assert!(machine.available().is_empty(), "{file}");
        assert!(machine.specs(&[]).faults.is_empty(), "{file}");
    }
    assert!(machine.available().is_empty());
    assert_eq!(Machine::new().file("/cdi/.json", env("x")).available(), ["v.test/d=a"]);
}

#[test]
fn files_that_others_could_have_written() {
    let own = || Machine::new().file("/cdi/a.json", env("own"));
    assert_eq!(who(&own()), "own", "the control");
    own().mode("/cdi/a.json", 0o646).check(
        &["v.test/d=a"],
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
          /cdi/a.json: others than its owner can write it (mode 0646)
          needed by: --gpu cdi:v.test/d=a
        hint: if its content is its owner's word, keep others out: `sudo chmod go-w /cdi/a.json`
    "#]],
    );
    own().mode("/cdi/a.json", 0o664).check(
        &["v.test/d=a"],
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
          /cdi/a.json: others than its owner can write it (mode 0664)
          needed by: --gpu cdi:v.test/d=a
        hint: if its content is its owner's word, keep others out: `sudo chmod go-w /cdi/a.json`
    "#]],
    );
    own().mode("/cdi", 0o775).check(
        &["v.test/d=a"],
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
          /cdi: others than its owner can write it (mode 0775)
          needed by: --gpu cdi:v.test/d=a
        hint: if its content is its owner's word, keep others out: `sudo chmod go-w /cdi`
    "#]],
    );
    // Above it, where the entries of others cannot be moved, it does not matter.
    let deep = || Machine::new().dirs(&["/deep/cdi"]).file("/deep/cdi/a.json", env("deep"));
    assert_eq!(who(&deep().mode("/deep", 0o1777)), "deep");
    deep().mode("/deep", 0o777).check(
        &["v.test/d=a"],
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
          /deep/cdi: others than its owner can write `/deep` (mode 0777)
          needed by: --gpu cdi:v.test/d=a
        hint: if its content is its owner's word, keep others out: `sudo chmod go-w /deep`
    "#]],
    );
    deep().mode("/deep/cdi", 0o1777).check(
        &["v.test/d=a"],
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
          /deep/cdi: others than its owner can write it (mode 1777)
          needed by: --gpu cdi:v.test/d=a
        hint: if its content is its owner's word, keep others out: `sudo chmod go-w /deep/cdi`
    "#]],
    );
}

#[test]
fn links_pipes_and_missing_directories() {
    let link = Machine::new().file("/elsewhere/a.json", env("x")).link("/cdi/a.json", "/elsewhere/a.json");
    link.check(
        &["v.test/d=a"],
        &expect![[r#"
            error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
              /cdi/a.json: it is a symbolic link
              needed by: --gpu cdi:v.test/d=a
            hint: see what is there: `ls -l /cdi/a.json`
        "#]],
    );
    let pipe = Machine::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe.real("/cdi/a.json"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    pipe.check(
        &["v.test/d=a"],
        &expect![[r#"
            error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
              /cdi/a.json: it is no regular file
              needed by: --gpu cdi:v.test/d=a
            hint: see what is there: `ls -l /cdi/a.json`
        "#]],
    );
    Machine::new().dirs(&["/nowhere"]).check(
        &["v.test/d=a"],
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
          /nowhere: no such directory
          needed by: --gpu cdi:v.test/d=a
        hint: make it, or leave it out: `mkdir -p /nowhere`
    "#]],
    );
    Machine::new().file("/file", "").dirs(&["/file"]).check(
        &["v.test/d=a"],
        &expect![[r#"
            error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
              /file: it is no directory
              needed by: --gpu cdi:v.test/d=a
            hint: see what is there: `ls -l /file`
        "#]],
    );
    let binary = Machine::new().file("/cdi/a.json", b"\xff\xfe");
    binary.check(
        &["v.test/d=a"],
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
          /cdi/a.json: it is not text in UTF-8
          needed by: --gpu cdi:v.test/d=a
        hint: repair /cdi/a.json, or make it anew with its vendor's tool
    "#]],
    );
}

#[test]
fn files_of_somebody_else() {
    let text = Machine::new().file("/cdi/a.json", env("own")).stranger().text(&["v.test/d=a"]);
    if rustix::process::geteuid().is_root() {
        // Root's files are trusted by everybody; those of somebody else by nobody.
        let foreign = Machine::new().file("/cdi/a.json", env("own"));
        rustix::fs::chown(foreign.real("/cdi/a.json"), Some(rustix::process::Uid::from_raw(4242)), None).unwrap();
        foreign.check(
            &["v.test/d=a"],
            &expect![[r#"
            error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
              /cdi/a.json: it belongs to uid 4242, neither to root nor to you
              needed by: --gpu cdi:v.test/d=a
            hint: if its content is root's word, make it root's: `sudo chown root:root /cdi/a.json`
        "#]],
        );
        let usual = Machine::new().file("/etc/cdi/a.json", env("etc"));
        rustix::fs::chown(usual.real("/etc/cdi"), Some(rustix::process::Uid::from_raw(4242)), None).unwrap();
        // Not even if that is the caller: he did not name the directory.
        usual.stranger().check(
            &["v.test/d=a"],
            &expect![[r#"
            error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
              /etc/cdi: it belongs to uid 4242, not to root
              needed by: --gpu cdi:v.test/d=a
            hint: if its content is root's word, make it root's: `sudo chown root:root /etc/cdi`
        "#]],
        );
        let below = Machine::new().dirs(&["/deep/cdi"]).file("/deep/cdi/a.json", env("deep"));
        rustix::fs::chown(below.real("/deep"), Some(rustix::process::Uid::from_raw(4242)), None).unwrap();
        let text = below.text(&["v.test/d=a"]);
        assert!(text.contains("/deep/cdi: `/deep` belongs to uid 4242"), "{text}");
    } else {
        assert!(text.contains("neither to root nor to you"), "{text}");
        let usual = Machine::new().file("/etc/cdi/a.json", env("etc")).text(&["v.test/d=a"]);
        assert!(usual.contains("not to root"), "{usual}");
    }
}

#[test]
fn a_broken_file_matters_only_where_the_device_could_be_in_it() {
    let good = || Machine::new().dirs(&["/low", OWN]).file("/cdi/good.json", env("good"));
    let other = env("x").replace("v.test/d", "other/d").replace("env", "envy");
    let same = env("x").replace("env", "envy");
    assert_eq!(who(&good().file("/cdi/bad.json", &other)), "good", "of another vendor");
    assert_eq!(who(&good().file("/low/bad.json", &same)), "good", "what is overridden anyway");
    assert_eq!(who(&good().file("/low/bad.json", "{")), "good");
    for bad in [same.as_str(), "{"] {
        let text = good().file("/cdi/bad.json", bad).text(&["v.test/d=a"]);
        assert!(text.contains("/cdi/bad.json:"), "{text}");
    }
    assert_eq!(good().file("/cdi/bad.json", "{").available(), ["v.test/d=a"]);
}
