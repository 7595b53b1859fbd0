//! The directory of the command's own in the place of a private `/tmp`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::process::Signal;

use super::{NONE, alone, assert_gone, check, labs};
use crate::lab::{Lab, Need, Running, signal, until};

/// What the command calls TMPDIR.
fn scratch_of(running: &Running) -> String {
    let mut found = None;
    until("the command tells its directory", || {
        found = running.printed().lines().find_map(|line| line.strip_prefix("tmp=").map(str::to_owned));
        found.is_some()
    });
    found.unwrap()
}

fn start(lab: &Lab, script: &str) -> (Running, String) {
    let script = format!("echo tmp=$TMPDIR; {script}");
    let running = alone(lab, NONE).waiting().start(["bash", "-c", &script]);
    let scratch = scratch_of(&running);
    (running, scratch)
}

#[test]
fn it_is_private_writable_and_gone_at_the_end() {
    for lab in labs(&[]) {
        let (first, one) = start(&lab, "echo in > $TMPDIR/file; echo ready; cat > /dev/null");
        first.wait_for("ready");
        let stat = std::fs::symlink_metadata(&one).unwrap();
        assert!(stat.is_dir() && stat.permissions().mode() & 0o7777 == 0o700, "{one}");
        assert_eq!(stat.uid(), std::fs::metadata(lab.path("home")).unwrap().uid());
        assert_eq!(std::fs::read_to_string(format!("{one}/file")).unwrap(), "in\n");
        let (second, two) = start(&lab, "echo ready; cat > /dev/null");
        assert_ne!(one, two);
        let words =
            [format!("read:{one}/file"), format!("list:{one}"), format!("make:{one}/x"), "make:/tmp/x".to_owned()];
        check(&lab, &[], &words.iter().map(|word| (word.as_str(), "EACCES")).collect::<Vec<_>>());
        super::check_outside(&lab, &[&words[0], &words[1]]);
        drop((first.finish(), second.finish()));
        assert_gone(&one);
        assert_gone(&two);
    }
}

#[test]
fn programs_find_it_by_themselves() {
    for lab in labs(&[Need::Tool("bash")]) {
        let script = "f=$(mktemp) && d=$(mktemp -d) && echo x > $f && echo y > $d/y && cat <<< here && cat <<END\nthere\nEND\n\
            python3 -c 'import tempfile; f = tempfile.NamedTemporaryFile(); f.write(b\"x\"); print(f.name.startswith(tempfile.gettempdir()))'
            python3 -c 'import tempfile; tempfile.TemporaryFile().write(b\"x\")'
            case $f in $TMPDIR/*) echo below;; esac";
        alone(&lab, NONE).bash(script).assert_prints("here\nthere\nTrue\nbelow");
    }
}

#[test]
fn nothing_else_in_tmp_can_be_read() {
    for lab in labs(&[]) {
        let place = tempfile::Builder::new().prefix("e2e-full-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for number in 0..500 {
            std::fs::write(place.path().join(number.to_string()), "x").unwrap();
        }
        let at = place.path().to_str().unwrap();
        let words = [format!("read:{at}/7"), format!("list:{at}"), format!("read:/proc/self/root{at}/7")];
        check(&lab, &[], &words.iter().map(|word| (word.as_str(), "EACCES")).collect::<Vec<_>>());
        super::check_outside(&lab, &words.each_ref().map(String::as_str));
        check(&lab, &["--read", at], &[(&words[0], "yes")]);
    }
}

#[test]
fn it_goes_with_all_that_is_in_it_whoever_dies() {
    for lab in labs(&[]) {
        lab.file("other/precious", "kept");
        let other = lab.path("other");
        let fill = format!(
            "cd $TMPDIR; ln -s {other} link; mkdir -p a/b/closed/deeper; echo x > a/b/closed/deeper/f; ln -s {other} a/b/link
             mkfifo a/fifo; python3 -c 'import os\nfor n in range(1500): os.mkdir(\"d\"); os.chdir(\"d\")'
             chmod 000 a/b/closed; chmod 000 a; chmod 500 .; cd /; echo ready"
        );
        for (ending, sig) in [
            ("exit 0", None),
            ("kill -KILL $$", None),
            ("cat", Some(Signal::KILL)),
            ("cat", Some(Signal::TERM)),
            ("setsid sleep 100 & kill -STOP $$; cat", Some(Signal::KILL)),
        ] {
            let (running, scratch) = start(&lab, &format!("{fill}; {ending}"));
            running.wait_for("ready");
            if let Some(sig) = sig {
                running.signal(sig);
            }
            drop(running.finish());
            assert_gone(&scratch);
            assert_eq!(lab.content("other/precious"), "kept");
        }
    }
}

#[test]
fn doctor_removes_what_a_killed_init_left_and_nothing_that_is_in_use() {
    for lab in labs(&[]) {
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let fix = || lab.sandbox(NONE).without().run([binary.as_str(), "doctor", "--fix"]);
        let (killed, left) = start(&lab, "echo x > $TMPDIR/file; echo ready; cat");
        let (used, in_use) = start(&lab, "echo ready; cat");
        killed.wait_for("ready");
        fix();
        assert!(std::fs::exists(&left).unwrap() && std::fs::exists(&in_use).unwrap(), "both are in use");
        signal(child(killed.pid()), Signal::KILL);
        drop(killed.finish());
        for pid in lab.processes().into_iter().filter(|pid| *pid != used.pid() && parent(*pid) == 1) {
            signal(pid, Signal::KILL);
        }
        assert!(std::fs::exists(&left).unwrap(), "nobody was there to remove it");
        let told = fix().stdout();
        assert!(told.contains(&left), "{told}");
        assert_gone(&left);
        assert!(std::fs::exists(&in_use).unwrap());
        drop(used.finish());
        assert_gone(&in_use);
    }
}

/// The first child of a process: init.
fn child(pid: i32) -> i32 {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().next().unwrap().parse().unwrap()
}

fn parent(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("PPid:\t")?.parse().ok()).unwrap_or(0)
}
