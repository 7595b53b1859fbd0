//! Device nodes. What stands for a GPU is a node of a driver that every kernel has; `/dev` is covered by one of the test's own.

use crate::case::{Case, Engine, Got};

/// Covers `/dev`: `granted` (autofs) and `other` (the control of btrfs), `posing` is a file.
const COVER: &str = "mkdir @LABdev; mount -t tmpfs -o mode=755 tmpfs @LABdev; cd @LABdev; mkdir pts shm char
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts pts; chmod 1777 shm
for one in 'null c 1 3' 'zero c 1 5' 'full c 1 7' 'random c 1 8' 'urandom c 1 9' 'tty c 5 0' 'ptmx c 5 2' 'granted c 10 235' 'other c 10 234'; do mknod -m 666 $one; done
ln -s ../other char/10:234; ln -s other alias; echo original > posing; chmod 666 posing; mount --rbind @LABdev /dev; mknod -m 666 @OUT/node c 10 234";

const UNCOVER: &str = "umount -R /dev; umount -R @LABdev";

const GRANT: [&str; 4] = ["--gpu", "off", "--device", "/dev/granted"];

/// A node that the kernel of the machine may lack.
fn node(name: &'static str, major: u32, minor: u32, path: &str) -> Case {
    let attack = format!(
        "try: fd = os.open('{path}', os.O_RDONLY | os.O_NONBLOCK)\nexcept OSError as error: lacks(error)\nhold()"
    );
    Case::new(name, Got::Device(major, minor), &attack).by_root()
}

pub fn cases() -> Vec<Case> {
    let covered = |case: Case| case.rooted(COVER).undone(UNCOVER).mounting().with(&GRANT);
    let other = |name, attack: &str| {
        covered(Case::new(
            name,
            Got::Device(10, 234),
            &format!(
                "def open_it(path):\n    try: return os.open(path, os.O_RDWR)\n    except OSError: return os.open(path, os.O_RDONLY)\ntry:\n    {attack}\nexcept OSError as error: lacks(error)\nhold()"
            ),
        ))
    };
    let anywhere = "for place in ('.', '/tmp', os.environ.get('TMPDIR', '.'), '/dev/shm', '/dev', '/run', '/dev/pts', HOME):
        made = place + '/' + MARK; attempt(os.mknod, made, 0o20666, os.makedev(10, 234)); attempt(lambda: FDS.append(open_it(made))); attempt(os.unlink, made)";
    let changed = |name, end: &str, attack: &str| {
        covered(
            Case::new(name, Got::Outside, attack).outside(&format!("wait()\nDEV = LAB + 'dev/'\nimport stat\n{end}")),
        )
    };
    vec![
        node("console-of-the-kernel", 1, 11, "/dev/kmsg"),
        node("memory", 1, 1, "/dev/mem"),
        node("virtual-machines", 10, 232, "/dev/kvm"),
        node("file-systems-of-users", 10, 229, "/dev/fuse"),
        node("tunnels", 10, 200, "/dev/net/tun"),
        node("loop-control", 10, 237, "/dev/loop-control"),
        node("random-hardware", 10, 183, "/dev/hwrng"),
        node("latency", 10, 259, "/dev/cpu_dma_latency"),
        Case::new("disk-made-in-the-workspace", Got::Made(&["work/disk"]), "os.mknod('disk', 0o60600, os.makedev(7, 0))").by_root(),
        other("not-granted", "fd = open_it('/dev/other')"),
        other("not-granted-by-a-link", "fd = open_it('/dev/alias')"),
        other("not-granted-by-its-number", "fd = open_it('/dev/char/10:234')"),
        other("not-granted-by-proc-root", "fd = [attempt(open_it, '/proc/%d/root/dev/other' % pid) for pid in pids()]"),
        other("not-granted-made-anew", &format!("FDS = []\n    {anywhere}")).by_root(),
        other("not-granted-and-standing-elsewhere", "fd = open_it(OUT + '/node')")
            .unpromised(&[Engine::Landlock], "one that somebody has made outside `/dev`, in the workspace or in a container's root, can be opened as the files beside it can"),
        other("not-granted-linked-in", "os.link(OUT + '/node', 'mine'); fd = open_it('mine')").by_root(),
        other("not-granted-renamed-in", "os.rename(OUT + '/node', 'mine'); fd = open_it('mine')"),
        other("not-granted-by-a-descriptor", "fd = os.open('/proc/self/fd/37', os.O_RDWR)").by("exec 37<>/dev/other; exec \"$@\""),
        changed("a-file-that-poses-as-a-node", "if MARK in open(DEV + 'posing').read(): got('the file was written')", "put('/dev/posing', os.O_WRONLY)").with(&["--device", "/dev/posing"]).may_refuse(),
        changed("a-file-of-the-host-s-dev", "if os.path.exists(DEV + 'new'): got('made')", "put('/dev/new')").by_root(),
        changed("node-removed", "if not os.path.exists(DEV + 'granted'): got('removed')", "os.unlink('/dev/granted')").by_root(),
        changed("node-renamed", "if not os.path.exists(DEV + 'granted'): got('renamed')", "os.rename('/dev/granted', '/dev/x')").by_root(),
        changed("node-replaced", "if stat.S_ISREG(os.stat(DEV + 'granted').st_mode): got('replaced')", "open('/dev/x', 'w'); os.rename('/dev/x', '/dev/granted')").by_root(),
        changed("mode-of-a-node", "if os.stat(DEV + 'granted').st_mode & 0o777 == 0o600: got('closed')", "os.chmod('/dev/granted', 0o600)").by_root()
            .unpromised(&[Engine::Bwrap], "As uid 0 the mode, owner and times of device nodes can be changed through it")
            .unpromised(&[Engine::Landlock], "It knows no right for mode, owner, times, extended attributes and flags (`chattr`): those of the caller's own files can be changed everywhere"),
        changed("mode-of-a-base-node", "if os.stat(DEV + 'null').st_mode & 0o777 == 0o600: got('closed')", "os.chmod('/dev/null', 0o600)").by_root()
            .unpromised(&[Engine::Bwrap], "As uid 0 the mode, owner and times of device nodes can be changed through it")
            .unpromised(&[Engine::Landlock], "It knows no right for mode, owner, times, extended attributes and flags (`chattr`): those of the caller's own files can be changed everywhere"),
    ]
}
