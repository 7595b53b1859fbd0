//! What is left when the sandbox has ended, in whatever way.

use rustix::process::Signal;

use crate::case::{Case, Got};
use crate::lab::Need;

/// Something that goes on for half a minute and cares for no signal.
const STAY: &str = "import signal
for number in (1, 2, 3, 13, 15, 21, 22): signal.signal(number, signal.SIG_IGN)
def stay():
    null = os.open('/dev/null', os.O_RDWR); [os.dup2(null, n) for n in (0, 1, 2)]
    os.write(STAYS[1], b'x'); time.sleep(30); os._exit(0)
STAYS = os.pipe()
def stays(): os.read(STAYS[0], 1)
";

const DAEMON: &str = "if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        stay()
    os._exit(0)
os.wait()
";

/// The host's side of what forks for a moment and then stays.
const STOPPED: &str = "wait(); time.sleep(0.4)";

pub fn cases() -> Vec<Case> {
    let lives = |name, attack: &str| Case::new(name, Got::Lives, &format!("{STAY}{attack}"));
    let killed = |name, attack: &str| lives(name, &format!("{attack}\nhold()")).blow(Signal::KILL);
    let left = |name, path: &str, attack: &str| {
        Case::new(name, Got::Outside, attack).outside(&format!(
            "wait()\nimport glob\nfor path in glob.glob({path}): got('left: ' + path); os.unlink(path)\nif os.path.isdir('/tmp/' + MARK + 'd'): os.rmdir('/tmp/' + MARK + 'd')"
        ))
    };
    let beat = "if os.fork() == 0:
    os.setsid(); os.execve('/bin/sh', ['sh', '-c', 'exec >/dev/null 2>&1 </dev/null; n=0; while [ -e conf ] && [ $n -lt 300 ]; do echo >> beat; sleep 0.05; n=$((n+1)); done'], {})
time.sleep(0.2)\n";
    let grows =
        "wait()\nbefore = os.path.getsize(WORK + '/beat') if os.path.exists(WORK + '/beat') else 0; time.sleep(0.4)
if os.path.exists(WORK + '/beat') and os.path.getsize(WORK + '/beat') > before: got('it goes on')
os.rename(WORK + '/conf', WORK + '/end'); time.sleep(0.1)";
    vec![
        lives("background", "if os.fork() == 0: stay()"),
        lives("daemon", DAEMON),
        lives("daemon-that-is-stopped", "pid = os.fork()\nif pid == 0: os.setsid(); stay()\nstays(); os.kill(pid, 19)"),
        lives("many-generations", "for _ in range(40):\n    if os.fork(): os._exit(0)\n    os.setsid()\nstay()"),
        lives("forks-while-it-ends", "if os.fork() == 0:
    os.setsid(); end = time.time() + 0.2
    while time.time() < end:
        if os.fork(): os._exit(0)
    stay()").outside(STOPPED),
        lives("traced-child", "pid = os.fork()\nif pid == 0: libc.ptrace(0, 0, 0, 0); os.setsid(); stay()\nstays()"),
        lives("child-that-is-not-dumpable", "if os.fork() == 0: libc.prctl(4, 0, 0, 0, 0); os.setsid(); stay()")
            // Its environment, by which it is found, can be read by root alone.
            .needing(&[Need::Root]),
        lives("subreaper", "libc.prctl(36, 1, 0, 0, 0)\nif os.fork() == 0:\n    os.setsid(); os.fork() == 0 or os._exit(0); stay()"),
        Case::new("without-its-environment", Got::Outside, beat).outside(grows),
        Case::new("without-its-environment-after-a-kill", Got::Outside, &format!("{beat}hold()")).outside(grows).blow(Signal::KILL),
        killed("killed-background", "if os.fork() == 0: stay()"),
        killed("killed-daemon", DAEMON),
        killed("killed-many", "for _ in range(50):\n    if os.fork() == 0: os.setsid(); stay()"),
        killed("killed-while-stopped", "pid = os.fork()\nif pid == 0: os.setsid(); stay()\nstays(); os.kill(pid, 19)"),
        killed("killed-with-signals-blocked", "signal.pthread_sigmask(signal.SIG_SETMASK, range(1, 64))\nif os.fork() == 0: os.setsid(); stay()"),
        lives("killed-while-it-forks", "if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: os.write(1, b'HOLD\\n')
    end = time.time() + 0.2
    while time.time() < end:
        if os.fork(): os._exit(0)
    stay()\nhold()").outside(STOPPED).blow(Signal::KILL),
        lives("terminated", "if os.fork() == 0: os.setsid(); stay()\nhold(); time.sleep(1)").blow(Signal::TERM),
        lives("hung-up", "if os.fork() == 0: os.setsid(); stay()\nhold(); time.sleep(1)").blow(Signal::HUP),
        lives("timed-out", "if os.fork() == 0: os.setsid(); stay()\ntime.sleep(3)").with(&["--timeout", "300ms"]).by("case \"$1\" in *ringfence) exec \"$@\";; *) exec timeout -s KILL 0.5 \"$@\";; esac"),
        left("file-in-tmp", "'/tmp/' + MARK", "put('/tmp/' + MARK)"),
        left("file-in-the-temporary-directory", "'/tmp/*/' + MARK", "name = os.environ.get('TMPDIR') or '/tmp/' + MARK + 'd'; os.makedirs(name, exist_ok=True); put(name + '/' + MARK)"),
        left("file-in-the-temporary-directory-after-a-kill", "'/tmp/*/' + MARK", "name = os.environ.get('TMPDIR') or '/tmp/' + MARK + 'd'; os.makedirs(name, exist_ok=True); put(name + '/' + MARK); hold()").blow(Signal::KILL),
        left("file-in-shared-memory", "'/dev/shm/' + MARK", "put('/dev/shm/' + MARK)"),
        left("file-in-run", "'/run/' + MARK", "put('/run/' + MARK)").by_root(),
        left("file-in-var-tmp", "'/var/tmp/' + MARK", "put('/var/tmp/' + MARK)"),
        left("link-in-tmp", "'/tmp/' + MARK", "os.symlink(WORK, '/tmp/' + MARK)"),
        left("socket-in-tmp", "'/tmp/' + MARK", "socket.socket(socket.AF_UNIX).bind('/tmp/' + MARK)"),
        Case::new("memory-of-system-v-left", Got::Outside, "one = libc.shmget(KEY, 4096, 0o1600)").outside("import random\nkey = random.randrange(1 << 30); give(KEY=key); wait(); one = libc.shmget(key, 4096, 0)\nif one >= 0: got('a segment was left'); libc.shmctl(one, 0, None)"),
        Case::new("queue-of-posix-left", Got::Outside, "libc.mq_open(('/' + MARK).encode(), 0o102, 0o600, None)").outside("wait()\nif libc.mq_unlink(('/' + MARK).encode()) == 0: got('a queue was left')"),
        Case::new("lock-on-a-file-of-the-host", Got::Outside, "import fcntl; fd = os.open(FILE, os.O_RDONLY); fcntl.flock(fd, fcntl.LOCK_EX); os.setsid()\nif os.fork() == 0:
    null = os.open('/dev/null', os.O_RDWR); [os.dup2(null, n) for n in (0, 1, 2)]; time.sleep(20)")
            .outside("wait()\nimport fcntl\ntry: fcntl.flock(os.open(FILE, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept OSError: got('it is locked')"),
    ]
}
