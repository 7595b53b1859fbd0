//! Mounts and namespaces: taking the view apart from inside.

use crate::case::{Case, Got};

/// A child that makes a namespace; its parent stays where it is.
fn child(act: &str) -> String {
    format!(
        "if os.fork() == 0:\n    try: {act}\n    except OSError as error: print('failed:', error); os._exit(1)\n    hold(); os._exit(0)\nos.wait()"
    )
}

/// What mounts does it where the host does not see it, in the control too.
const PRIVATE: &str = "[ $(id -u) = 0 ] && exec unshare --mount --propagation private \"$@\"; exec \"$@\"";

/// With all capabilities over a user namespace of its own, if it gets one.
const DEEPER: &str = "attempt(call, 'unshare', 0x10020000)\n";

pub fn cases() -> Vec<Case> {
    let apart = |name, act: &str| Case::new(name, Got::Namespaces, &child(act));
    let changes = |name, attack: &str| Case::new(name, Got::Changed, attack).by(PRIVATE);
    let deeper = |name, attack: &str| {
        Case::new(name, Got::Mounted, &format!("{DEEPER}os.mkdir('m'); os.mkdir('m/' + MARK); M = WORK.encode() + b'/m/' + MARK.encode()\n{attack}\nhold()")).by(PRIVATE)
    };
    let clone = "if call('clone', FLAGS | 17, 0, 0, 0, 0) == 0: hold(); os._exit(0)\nos.wait()";
    vec![
        apart("unshare-user", "call('unshare', 0x10000000)"),
        apart("unshare-user-and-all", "call('unshare', 0x7e020000)"),
        apart("unshare-mounts", "call('unshare', 0x20000)").by_root(),
        apart("unshare-network", "call('unshare', 0x40000000)").by_root(),
        apart("unshare-names", "call('unshare', 0x4000000)").by_root(),
        apart("unshare-ipc", "call('unshare', 0x8000000)").by_root(),
        apart("unshare-cgroups", "call('unshare', 0x2000000)").by_root(),
        Case::new("clone-user", Got::Namespaces, &clone.replace("FLAGS", "0x10000000")),
        Case::new("clone-user-with-high-bits", Got::Namespaces, &clone.replace("FLAGS", "(1 << 33 | 0x10000000)")),
        Case::new("clone-network", Got::Namespaces, &clone.replace("FLAGS", "0x40000000")).by_root(),
        Case::new("clone-time", Got::Namespaces, "child = struct.pack('<11Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
if call('clone3', ctypes.create_string_buffer(child), 88) == 0: hold(); os._exit(0)
os.wait()"),
        apart("by-unshare-1", "os.execvp('unshare', ['unshare', '-U', sys.executable, '-I', '-S', '-c', 'import os; os.write(1, b\"HOLD\\\\n\"); os.read(0, 1)'])"),
        Case::new("join-the-namespaces-of-a-process", Got::Namespaces, &child("[attempt(call, 'setns', os.open('/proc/%d/ns/%s' % (PID, kind), os.O_RDONLY), 0) for kind in ('user', 'net', 'mnt')]; [call('setns', os.open('/proc/%d/ns/%s' % (PID, kind), os.O_RDONLY), 0) for kind in ('net', 'uts')]"))
            .by_root()
            .outside("import subprocess\none = subprocess.Popen(['unshare', '-n', '-u', 'sleep', '60']); time.sleep(0.1); give(PID=one.pid); wait(); one.kill()"),
        changes("join-the-mounts-of-a-process", "for kind in ('user', 'mnt'):\n    for pid in pids(): attempt(lambda: call('setns', os.open('/proc/%d/ns/%s' % (pid, kind), os.O_RDONLY), 0))\nattempt(lambda: call('setns', call('pidfd_open', PARENT, 0), 0x10020000)); put(FILE)")
            .outside("give(PARENT=os.getpid()); wait()"),
        changes("remount-writable", &format!("for again in (0, 1):\n    for path in (b'/', OUT.encode(), os.path.dirname(OUT).encode()): attempt(call, 'mount', 0, path, 0, 0x1020, 0)\n    {DEEPER}put(FILE)")),
        changes("bind-and-remount", &format!("{DEEPER}attempt(call, 'mount', OUT.encode(), OUT.encode(), 0, 4096, 0); attempt(call, 'mount', 0, OUT.encode(), 0, 0x1020, 0); put(FILE)")),
        changes("uncover", &format!("for again in (0, 1):\n    for path in (OUT, WORK, WORK + '/.git', '/dev/shm'): attempt(call, 'umount2', path.encode(), 2)\n    {DEEPER}put(FILE)")),
        changes("clone-of-a-tree", &format!("for again in (0, 1):
    for name in ('open_tree', 'open_tree_attr'):
        def act(name):
            attr = ctypes.create_string_buffer(struct.pack('<4Q', 0, 1, 0, 0))
            fd = call(name, -100, OUT.encode(), 0x80001, *((attr, 32) if name != 'open_tree' else ()))
            attempt(call, 'mount_setattr', fd, b'', 0x1000, attr, 32)
            os.open('new', os.O_WRONLY | os.O_CREAT, dir_fd=fd)
        attempt(act, name)
    {DEEPER}")).by_root(),
        changes("chroot-and-back", "os.mkdir('jail'); fd = os.open('/', os.O_RDONLY); attempt(os.chroot, 'jail'); os.fchdir(fd); [os.chdir('..') for _ in range(40)]; attempt(os.chroot, '.'); put(FILE)"),
        deeper("mount-a-tmpfs", "attempt(call, 'mount', b'none', M, b'tmpfs', 0, 0)"),
        deeper("mount-procfs", "attempt(call, 'unshare', 0x20000000)\nif os.fork() == 0:\n    attempt(call, 'mount', b'none', M, b'proc', 0, 0); hold(); os._exit(0)\nos.wait()"),
        Case::new("mount-overlay", Got::Mounted, &format!("for n in ('l', 'u', 'w', MARK): os.mkdir(n)\nM = WORK.encode() + b'/' + MARK.encode()\nfor again in (0, 1):\n    attempt(call, 'mount', b'none', M, b'overlay', 0, b'lowerdir=l,upperdir=u,workdir=w')\n    {DEEPER}hold()")).by(PRIVATE).by_root(),
        deeper("mount-by-descriptor", "fs = call('fsopen', b'tmpfs', 0); call('fsconfig', fs, 6, 0, 0, 0); call('move_mount', call('fsmount', fs, 0, 0), b'', -100, M, 4)"),
        deeper("mount-a-clone", "call('move_mount', call('open_tree', -100, b'/usr', 1), b'', -100, M, 4)"),
        Case::new("kernel-settings", Got::Writes("sys/kernel/core_pattern"), "fd = os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY); hold()").by_root(),
        Case::new("kernel-settings-of-names", Got::Writes("sys/kernel/hostname"), "fd = os.open('/proc/sys/kernel/hostname', os.O_WRONLY); hold()").by_root(),
        Case::new("kernel-settings-by-proc-root", Got::Writes("sys/kernel/core_pattern"), "for pid in pids() + ['self']: attempt(os.open, '/proc/%s/root/proc/sys/kernel/core_pattern' % pid, os.O_WRONLY)\nhold()").by_root(),
        Case::new("sysrq", Got::Writes("sysrq-trigger"), "try: fd = os.open('/proc/sysrq-trigger', os.O_WRONLY)\nexcept OSError as error: lacks(error)\nhold()").by_root(),
        Case::new("interrupts", Got::Writes("smp_affinity"), "fd = os.open('/proc/irq/default_smp_affinity', os.O_WRONLY); hold()").by_root(),
        Case::new("sysfs", Got::Writes("/kernel/"), "for path in ('/sys/kernel/profiling', '/sys/kernel/rcu_expedited', '/sys/kernel/mm/ksm/run'): attempt(os.open, path, os.O_WRONLY)\nhold()").by_root(),
        Case::new("cgroups", Got::Outside, "import glob\nfor path in glob.glob('/sys/fs/cgroup/*/') + ['/sys/fs/cgroup/']: attempt(os.mkdir, path + MARK)")
            .by_root()
            .outside("wait()\nimport glob\nfor path in glob.glob('/sys/fs/cgroup/*/' + MARK) + glob.glob('/sys/fs/cgroup/' + MARK): os.rmdir(path); got('made ' + path)"),
        Case::new("kernel-memory", Got::Holds("/proc/kcore"), "try: fd = os.open('/proc/kcore', 0)\nexcept OSError as error: lacks(error)\nhold()").by_root(),
        Case::new("kernel-messages", Got::Holds("kmsg"), "attempt(os.open, '/proc/kmsg', os.O_RDONLY | os.O_NONBLOCK); attempt(os.open, '/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK); hold()").by_root(),
    ]
}
