//! Kernels that lack something: a filter makes the calls fail, as they do where they are not known.

use std::process::Command;

use crate::lab::{Lab, Need, in_private_mounts};

const NONE: [&str; 0] = [];

const MOUNT_SETATTR: u32 = 442;
pub const LANDLOCK_CREATE_RULESET: u32 = 444;

pub const ENOSYS: u32 = 38;

/// A prefix that runs a command where a system call, whose number is the same on all architectures, fails.
pub fn failing(lab: &Lab, call: u32, errno: u32) -> String {
    let script = format!(
        "import ctypes, os, struct, sys\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         ops = [(0x20, 0, 0, 0), (0x15, 0, 1, {call}), (6, 0, 0, 0x50000 | {errno}), (6, 0, 0, 0x7fff0000)]\n\
         code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *op) for op in ops))\n\
         class Program(ctypes.Structure): _fields_ = [('n', ctypes.c_ushort), ('p', ctypes.c_void_p)]\n\
         program = Program(len(ops), ctypes.addressof(code))\n\
         assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program)) == 0\n\
         os.execvp(sys.argv[1], sys.argv[1:])\n"
    );
    let path = lab.file(format!("failing-{call}-{errno}.py").as_str(), &script);
    format!("python3 {path} \"$@\"")
}

#[test]
fn without_mount_setattr_the_same_is_made_by_mount() {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        let by = failing(&lab, MOUNT_SETATTR, ENOSYS);
        let secret = lab.file("other/secret", "42");
        let look = |path: &str| lab.sandbox(["--deny", &secret]).by(&by).sh(path);
        look("echo in > made; cat made").assert_prints("in");
        assert_eq!(lab.content("work/made"), "in\n");
        for attack in ["echo x > ../other/new", "mkdir .git/x", &format!("cat {secret}"), "echo x > /dev/new"] {
            let ran = look(attack);
            assert_ne!(ran.code(), 0, "{attack}: {ran}");
        }
        assert!(!lab.exists("other/new"));
        lab.sandbox(NONE).by(&by).run(["cat", &secret]).assert_prints("42");
        let suid = "while read _ _ _ _ point options _; do case $options in *nosuid*) ;; *) echo $point;; esac; \
             done < /proc/self/mountinfo";
        // The root that may be written on purpose can be, and nothing else changes. Of bubblewrap, nobody could trust the
        // program then.
        let written = "echo x > ../other/new && cat ../other/new; rm ../other/new; cat /etc/shadow || echo hidden; \
             mkdir .git/x || echo kept";
        let sandboxes = [lab.sandbox(["--write", "/"]), lab.sandbox(["--write", "/"]).by(&by)];
        for sandbox in sandboxes.into_iter().filter(|_| lab.is_native()) {
            sandbox.sh(written).assert_prints("x\nhidden\nkept");
        }
        let kept = lab.file("work/kept", "kept");
        let sandbox = || lab.sandbox(["--write", "/", "--read", &kept]);
        for sandbox in [sandbox(), sandbox().by(&by)].into_iter().filter(|_| lab.is_native()) {
            sandbox.sh("echo x > beside && cat beside; echo x > kept || echo refused").assert_prints("x\nrefused");
        }
        assert_eq!(lab.content("work/kept"), "kept");
        // A mount that another one covers cannot be reached, neither to be remounted nor to be used.
        let ran = look(suid);
        assert!(!ran.stdout().contains("/work"), "{ran}");
    }
}

fn as_root(script: &str) {
    assert!(Command::new("sh").args(["-c", script]).status().unwrap().success(), "{script}");
}

/// Each has options that may not be taken from it; as in a container whose /proc was mounted over the host's.
#[test]
fn of_mounts_on_one_another_the_last_is_made_read_only_by_mount() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::Tool("python3")]) {
            let by = failing(&lab, MOUNT_SETATTR, ENOSYS);
            let twice = lab.dir("twice");
            let mount =
                format!("mount -t tmpfs -o nosuid,nodev one {twice} && mount -t tmpfs -o noexec,mode=777 two {twice}");
            as_root(&mount);
            let ran = lab.sandbox(NONE).by(&by).sh(&format!("echo in > made; cat made; echo x > {twice}/new"));
            as_root(&format!("umount {twice} && umount {twice}"));
            assert!(ran.stdout() == "in" && ran.stderr().contains("Read-only"), "{ran}");
        }
    });
}

#[test]
fn without_landlock_a_file_as_standard_output_is_refused_and_the_rest_holds() {
    for lab in Lab::every_user(&[Need::Landlock(3), Need::Tool("python3"), Need::Tool("bash")]) {
        let by = failing(&lab, LANDLOCK_CREATE_RULESET, ENOSYS);
        lab.sandbox(NONE).by(&by).sh("echo in > made; cat made").assert_prints("in");
        let ran = lab.sandbox(NONE).by(&by).sh("echo x > ../other-file");
        assert_ne!(ran.code(), 0, "{ran}");
        let into_a_file = format!("{by} > out");
        let ran = lab.sandbox(NONE).by(&into_a_file).sh("echo x");
        assert!(ran.code() == 125 && ran.stderr().contains("pipe it"), "{ran}");
        let ran = lab.sandbox(["--modify", "."]).by(&by).sh("true");
        assert!(ran.code() == 125 && ran.stderr().contains("Landlock"), "{ran}");
        // The control: with Landlock it is taken.
        lab.sandbox(NONE).by("\"$@\" > out").sh("echo x").assert_works();
    }
}
