//! Files: what lies outside the writable directories does not change, whichever way it is tried.

use std::os::unix::fs::MetadataExt;

use crate::lab::{Lab, Need};

const NONE: [&str; 0] = [];

#[test]
fn the_workspace_can_be_written_and_other_directories_only_when_granted() {
    for lab in Lab::every_user(&[]) {
        let other = lab.dir("other");
        let write = format!("echo text > new && echo text > {other}/new");
        lab.sandbox(NONE).sh(&write).assert_refused_for(&format!("{other}/new"));
        assert_eq!(lab.content("work/new"), "text\n", "the workspace is the host's directory");
        assert!(!lab.exists("other/new"));
        lab.sandbox(["--write", &other]).sh(&write).assert_works();
        assert_eq!(lab.content("other/new"), "text\n");
    }
}

/// Ways to change `$D`, a directory with a file `f`, from the workspace. Each works outside.
const WAYS: &[(&str, &str)] = &[
    ("plain", "echo x > $D/f"),
    ("append", "echo x >> $D/f"),
    ("two dots", "echo x > ../vault/f"),
    ("link to the file", "ln -s $D/f a-link && echo x > a-link"),
    ("link to the directory", "ln -s ../vault a-way && echo x > a-way/f"),
    ("hard link", "ln $D/f a-hard && echo x > a-hard"),
    ("rename out of it", "mv $D/f ."),
    ("rename into it", "touch mine && mv mine $D/"),
    ("rename within", "mv $D/f $D/g"),
    ("rename the directory", "mv $D ../elsewhere"),
    ("truncate", "truncate -s 0 $D/f"),
    ("chmod", "chmod 604 $D/f"),
    ("chmod the directory", "chmod 705 $D"),
    ("times", "touch -d @1 $D/f"),
    ("remove", "rm -f $D/f"),
    ("new file", "touch $D/g"),
    ("new directory", "mkdir $D/g"),
    ("new link", "ln -s f $D/g"),
    ("new fifo", "mkfifo $D/g"),
    ("descriptor opened again", "exec 3< $D/f; echo x > /proc/self/fd/3"),
    ("the directory's descriptor", "exec 3< $D; echo x > /proc/self/fd/3/f"),
    ("through the root of a process", "echo x > /proc/self/root$D/f"),
    ("through the working directory of a process", "echo x > /proc/self/cwd/../vault/f"),
    ("extended attribute", "python3 -c \"import os; os.setxattr('$D/f', 'user.x', b'y')\""),
    ("written by a mapping", "python3 -c \"import mmap; f=open('$D/f','r+'); mmap.mmap(f.fileno(),0)[0]=120\""),
    (
        "exchanged",
        "python3 -c \"import ctypes,os; touch=open('mine','w'); l=ctypes.CDLL(None,use_errno=True); \
        l.renameat2(-100,b'mine',-100,b'$D/f',2)==0 or os._exit(os.write(2,os.strerror(ctypes.get_errno()).encode()))\"",
    ),
];

#[test]
fn no_way_around_changes_what_is_read_only() {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        for (way, script) in WAYS {
            let vault = lab.dir("vault");
            lab.file("vault/f", "unchanged");
            let before = look(&lab);
            let script = script.replace("$D", &vault);
            let ran = lab.sandbox(NONE).sh(&script);
            assert_ne!(ran.code(), 0, "{way}: {ran}");
            assert_eq!(look(&lab), before, "{way}: {ran}");
            lab.outside("cd ..; rm -rf work/* elsewhere");
            lab.outside(&script).assert_works();
            assert_ne!(look(&lab), before, "{way}: the control changes something");
            lab.outside("cd ..; rm -rf work/* vault elsewhere");
        }
    }
}

/// All that can be changed of the vault.
fn look(lab: &Lab) -> String {
    let found = lab.outside("cd .. && ls -lan --time-style=full-iso vault && cat vault/f");
    let attributes = "import os; print(os.listxattr('../vault/f'))";
    let attributes = lab.sandbox(NONE).without().python(attributes).stdout();
    let times = std::fs::metadata(lab.path("vault")).map(|dir| (dir.mode(), dir.mtime_nsec()));
    format!("{}{}{attributes}{times:?}", found.stdout(), found.stderr())
}

#[test]
fn read_only_writes_nothing_and_full_access_writes_everything() {
    for lab in Lab::every_user(&[]) {
        let other = lab.dir("other");
        let write = format!("echo x > here; echo x > {other}/there");
        let ran = lab.sandbox(["-s", "read-only"]).sh(&write);
        ran.assert_refused_for("here");
        assert!(!lab.exists("work/here") && !lab.exists("other/there"), "{ran}");
        for word in ["full-access", "danger-full-access"] {
            lab.sandbox(["--sandbox", word]).sh(&write).assert_works();
            assert_eq!(lab.content("work/here"), "x\n");
            assert_eq!(lab.content("other/there"), "x\n");
            lab.outside("rm here ../other/there").assert_works();
        }
    }
}

#[test]
fn tmp_is_private_unless_it_is_asked_for() {
    for lab in Lab::every_user(&[]) {
        let name = lab.path("").replace('/', "-");
        let file = format!("/tmp/ringfence{name}host");
        let made = format!("/tmp/ringfence{name}made");
        lab.outside(&format!("echo host > {file}")).assert_works();
        let both = format!("echo mine > {made}; cat {file}");
        lab.sandbox(NONE).sh(&both).assert_refused_for(&file);
        assert!(!std::path::Path::new(&made).exists());
        lab.sandbox(["--tmp", "host"]).sh(&both).assert_prints("host");
        assert!(std::path::Path::new(&made).exists());
        lab.outside(&format!("rm {file} {made}")).assert_works();
    }
}

#[test]
fn temporary_directories_are_empty_and_writable() {
    for lab in Lab::every_user(&[]) {
        for dir in ["/tmp", "/run", "/dev/shm"] {
            let script = format!("cd {dir} && ls -A | grep -v -e systemd -e resolvconf -e NetworkManager");
            assert_eq!(lab.sandbox(NONE).sh(&script).stdout(), "", "{dir} holds things of the host");
        }
        lab.sandbox(NONE).sh("f=$(mktemp) && echo x > $f && cat $f && echo x > /dev/shm/x").assert_prints("x");
        assert!(!std::path::Path::new("/dev/shm/x").exists());
    }
}

#[test]
fn the_system_cannot_be_changed_even_by_root() {
    for lab in Lab::as_root(&[]) {
        for path in ["/etc/hostname", "/etc/passwd", "/usr/bin/env", "/var/tmp", "/root"] {
            let script = format!("python3 -c \"import os; assert os.access('{path}', os.W_OK)\"");
            lab.sandbox(NONE).sh(&script).assert_code(1);
            lab.outside(&script).assert_works();
        }
    }
}

#[test]
fn mounts_of_the_sandbox_stay_in_it() {
    for lab in Lab::every_user(&[]) {
        let during = lab.sandbox(["--net", "host"]).waiting().start(["sh", "-c", "echo ready; cat"]);
        during.wait_for("ready");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&lab.path("")), "the host sees a mount of the sandbox");
        assert_ne!(
            std::fs::read_link(format!("/proc/{}/ns/mnt", during.init())).ok(),
            std::fs::read_link("/proc/self/ns/mnt").ok()
        );
        during.finish().assert_works();
    }
}
