//! Names of threads: CUDA's start writes them in `/proc`, and nothing else there may be written.

use rustix::io::Errno;
use rustix::process::Signal;

use crate::lab::{Lab, Need, Ran, Running, Sandbox, eventually};

const NONE: [&str; 0] = [];

/// `opened` opens exactly as a program in C would: Python adds a flag.
const PRELUDE: &str = r"
import ctypes, fcntl, mmap, os, signal, sys, threading, time, traceback
libc = ctypes.CDLL(None, use_errno=True)
def opened(path, flags):
    fd = libc.open(path.encode(), flags, 0o666)
    if fd < 0: raise OSError(ctypes.get_errno(), path)
    return fd
def forked(body):
    child = os.fork()
    if child == 0:
        try: body(); os._exit(0)
        except BaseException: traceback.print_exc(); os._exit(1)
    return child
def ended(child): assert os.waitpid(child, 0)[1] == 0, 'a child failed'
def family(body, depth=0):
    body(depth)
    if depth < 2: ended(forked(lambda: family(body, depth + 1)))
def name_of(process): return open(f'/proc/{process}/comm').read().strip()
";

fn landlock(lab: &Lab) -> Sandbox<'_> {
    lab.sandbox(["--modify", "/proc"]).backend("landlock")
}

/// Labs of those users for whom Landlock alone can enforce something; which engine they are of does not matter.
fn landlock_labs() -> Vec<Lab> {
    Lab::native(&[Need::Landlock(3), Need::Tool("python3")])
}

fn python(sandbox: Sandbox<'_>, script: &str) -> Ran {
    sandbox.python(&format!("{PRELUDE}{script}"))
}

/// The lab's engine, and Landlock alone in the labs of the first.
fn engines(lab: &Lab) -> Vec<Sandbox<'_>> {
    let alone = lab.is_native().then(|| landlock(lab));
    alone.into_iter().chain([lab.sandbox(NONE)]).collect()
}

/// A process of the same user outside.
fn victim(lab: &Lab) -> Running {
    let running = lab.sandbox(NONE).without().start(["sleep", "1000"]);
    let pid = running.pid();
    assert!(eventually(|| found(pid, "comm") == "sleep"));
    running
}

fn found(pid: i32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default().trim_end().to_owned()
}

#[test]
fn a_command_and_its_children_name_their_threads_in_every_way() {
    let script = r"
FORMS = [os.O_RDWR, os.O_WRONLY | os.O_CLOEXEC, os.O_WRONLY | os.O_CREAT | os.O_TRUNC]
def names(depth):
    stop, up, tids = threading.Event(), threading.Event(), []
    other = threading.Thread(target=lambda: (tids.append(threading.get_native_id()), up.set(), stop.wait()), daemon=True)
    other.start(); up.wait()
    tid, pid = tids[0], os.getpid()
    paths = [(f'/proc/self/task/{tid}/comm', tid), (f'/proc/{pid}/task/{tid}/comm', tid), ('/proc/self/comm', pid),
             (f'/proc/{pid}/comm', pid), ('/proc/thread-self/comm', pid)]
    for number, (path, named) in enumerate(paths):
        for form, flags in enumerate(FORMS):
            name = f'{depth}-{number}-{form}'
            fd = opened(path, flags)
            assert bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC) == bool(flags & os.O_CLOEXEC), path
            assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == flags & os.O_ACCMODE, path
            os.write(fd, name.encode())
            if flags & os.O_RDWR: assert os.pread(fd, 32, 0).decode().strip() == name
            os.close(fd)
            assert name_of(f'self/task/{named}') == name, (path, name)
    assert libc.pthread_setname_np(ctypes.c_ulong(other.ident), b'by-libc') == 0
    assert name_of(f'self/task/{tid}') == 'by-libc'
    stop.set(); other.join()
    print('named', flush=True)
family(names)
";
    for lab in Lab::every_user(&[Need::Landlock(3), Need::Tool("python3")]) {
        for sandbox in engines(&lab) {
            python(sandbox, script).assert_prints("named\nnamed\nnamed");
        }
        for sandbox in engines(&lab) {
            sandbox.sh("sh -c 'printf x > /proc/self/comm; cat /proc/$$/comm'; exec sh -c 'printf y > /proc/self/comm; cat /proc/$$/comm'")
                .assert_prints("x\ny");
        }
    }
}

#[test]
fn without_the_baseline_no_thread_is_named() {
    let script = "import os\nfd = os.open('/proc/self/comm', os.O_RDWR)\nos.write(fd, b'named')\nprint('named')";
    let forked = format!("import os\nif os.fork():\n  print(os.wait()[1])\nelse:\n  exec({script:?})");
    for lab in Lab::every_user(&[Need::Landlock(3), Need::Tool("python3")]) {
        let keep = lab.file("keep.toml", "[baseline]\nkeep = [\"/proc\"]\n");
        for backend in lab.engines() {
            let kept = lab.sandbox(["--config", &keep]).backend(backend);
            kept.python(script).assert_refused();
            let kept = lab.sandbox(["--config", &keep]).backend(backend);
            assert!(!kept.python(&forked).stdout().contains("named"), "{backend}");
            // The control: the same without the setting.
            let free = lab.sandbox(["--modify", "/proc"]).backend(backend);
            free.python(&forked).assert_prints("named\n0");
        }
    }
}

#[test]
fn a_writable_proc_is_no_right_in_the_hosts() {
    for lab in Lab::as_ordinary_user(&[Need::Landlock(3)]).into_iter().filter(Lab::is_native) {
        let neighbour = lab.sandbox(NONE).without().waiting().start(["cat"]);
        let files = format!("/proc/{}/oom_score_adj", neighbour.pid());
        let write = format!("(echo 500 > {files}) && echo adjusted; (echo x > /proc/self/comm) && echo named");
        let inside = lab.sandbox(["--write", "/proc"]).backend("landlock").sh(&write).stdout();
        let plain = lab.sandbox(NONE).without().sh(&write).stdout();
        drop(neighbour.finish());
        assert_eq!((inside.as_str(), plain.as_str()), ("named", "adjusted\nnamed"), "as {}", lab.user);
    }
}

#[test]
fn root_never_writes_in_all_of_the_host_s_proc() {
    for lab in Lab::as_root(&[Need::Landlock(3)]).into_iter().filter(Lab::is_native) {
        let marker = lab.path("work/ran");
        let run = |options: &[&str]| lab.sandbox(options).backend("landlock").run(["touch", &marker]);
        for more in [&[][..], &["--landlock", "best-effort"]] {
            run(&[&["--write", "/proc"], more].concat()).assert_code(125).assert_says("[baseline.proc_root]");
            assert!(!lab.exists("work/ran"), "nothing ran");
        }
        // The control: the narrow right is init's to give.
        run(&["--modify", "/proc"]).assert_works();
        assert!(lab.exists("work/ran"));
    }
}

/// Prints what could be written. Arguments: processes outside, comma-separated, and a writable directory.
const WRITE: &str = r"
outside, work = sys.argv[1].split(','), sys.argv[2]
def written(path):
    for flags in [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT | os.O_TRUNC]:
        try:
            fd = opened(path, flags)
            try: os.write(fd, b'500'); return True
            finally: os.close(fd)
        except OSError: pass
    return False
def tries(depth):
    go, wait = os.pipe(), os.pipe()
    def neighbour(): os.write(go[1], b'.'); os.read(wait[0], 1)
    near = forked(neighbour); os.read(go[0], 1)
    name = name_of(near)
    links = f'{work}/links{depth}'
    os.mkdir(links)
    os.symlink('/proc/self', links + '/self')
    paths = []
    for process in [*outside, near]:
        os.symlink(f'/proc/{process}/comm', f'{links}/{process}')
        paths += [f'/proc/{process}/comm', f'/proc/{process}/task/{process}/comm', f'/proc/self/../{process}/comm',
            f'/proc/self/task/../../{process}/comm', f'/proc/self/root/proc/{process}/comm', f'/proc//{process}/comm',
            f'{links}/{process}', f'{links}/self/../{process}/comm']
    for process in outside:
        os.symlink(f'/proc/{process}/oom_score_adj', f'{links}/{process}-oom')
        paths += [f'/proc/{process}/oom_score_adj', f'/proc/self/../{process}/oom_score_adj', f'{links}/{process}-oom']
    paths += ['/proc/sys/kernel/hostname', '/proc/sys/kernel/printk', '/proc/sys/vm/swappiness', '/proc/new',
        '/proc/self/new', '/proc/self/task/new', '/proc/self/task/new/comm', '/proc/sysrq-trigger-new']
    print(*[path for path in paths if written(path)], sep='\n', end='', flush=True)
    for path in ['/proc/self/comm', '/proc/self/oom_score_adj', f'/proc/{near}']:
        try: os.unlink(path); print('removed', path)
        except OSError: pass
    try: os.mkdir('/proc/self/dir'); print('made a directory')
    except OSError: pass
    assert name_of(near) == name
    os.write(wait[1], b'.'); ended(near)
family(tries)
";

#[test]
fn nothing_else_in_proc_can_be_written() {
    for lab in Lab::every_user(&[Need::Landlock(3), Need::Tool("python3")]) {
        let victim = victim(&lab);
        let pid = victim.pid();
        let before = found(pid, "oom_score_adj");
        let script = format!("{PRELUDE}{WRITE}");
        let work = lab.path("work");
        let try_all = |sandbox: Sandbox<'_>, outside: &str| {
            let ran = sandbox.run(["python3", "-c", &script, outside, &work]);
            for depth in 0..3 {
                std::fs::remove_dir_all(lab.path(format!("work/links{depth}"))).unwrap();
            }
            ran
        };
        if lab.is_native() {
            try_all(landlock(&lab), &format!("{pid},1,{}", std::process::id())).assert_prints("");
        }
        // By bubblewrap, root may make the first process of his own sandbox the first victim of a full memory.
        let init = if lab.user.is_root() && !lab.is_native() { "" } else { ",1" };
        try_all(lab.sandbox(NONE), &format!("{pid}{init}")).assert_prints("");
        assert_eq!((found(pid, "oom_score_adj"), found(pid, "comm")), (before, "sleep".to_owned()), "{}", lab.user);
        // The control: outside, the same user writes the one, while names are refused by the kernel itself.
        let told = try_all(lab.sandbox(NONE).without(), &pid.to_string()).stdout();
        assert!(told.contains(&format!("/proc/{pid}/oom_score_adj")) && !told.contains("comm"), "{told}");
        assert_eq!(found(pid, "oom_score_adj"), "500");
        victim.signal(Signal::KILL);
    }
}

#[test]
fn only_what_init_opens_is_let_through_the_wall() {
    // The same file by a path that init does not look at: so it is the wall that refuses, and init that opens.
    let script = r"
here = os.open('/proc/self', os.O_RDONLY)
for make in [lambda: os.open('comm', os.O_WRONLY, dir_fd=here), lambda: opened('/proc/self/./comm', os.O_RDWR),
             lambda: opened('/proc/self/oom_score_adj', os.O_WRONLY)]:
    try: make(); print('opened')
    except PermissionError: print('refused')
os.chdir('/proc/self')
try: opened('comm', os.O_WRONLY); print('opened')
except PermissionError: print('refused')
try: opened('/proc/self/comm', os.O_WRONLY | os.O_CREAT | os.O_EXCL)
except OSError as error: print(error.errno)
print(os.close(opened('/proc/self/comm', os.O_WRONLY)))
";
    for lab in landlock_labs() {
        let exists = Errno::EXIST.raw_os_error();
        python(landlock(&lab), script).assert_prints(&format!("refused\nrefused\nrefused\nrefused\n{exists}\nNone"));
        let control = python(lab.sandbox(NONE).without(), script);
        control.assert_prints(&format!("opened\nopened\nopened\nopened\n{exists}\nNone"));
    }
}

#[test]
fn a_path_that_changes_during_the_call_opens_nothing_more() {
    let script = r"
victim, other, work = sys.argv[1:]
page = mmap.mmap(-1, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
paths = [p.encode() + b'\0' for p in
    ['/proc/self/comm', f'/proc/{victim}/oom_score_adj', f'/proc/{victim}/comm', other, f'{work}/mine']]
page[:len(paths[0])] = paths[0]
def swap():
    while True:
        for path in paths[1:]:
            page[:len(path)] = path
            page[:len(paths[0])] = paths[0]
            # A path that comes in two steps: the beginning of one, the end of another.
            page[10:len(path)] = path[10:]
swapper = forked(swap)
got, refused, named = 0, 0, 0
for number in range(6000):
    fd = libc.open(ctypes.c_void_p(address), os.O_WRONLY | (os.O_CREAT if number % 2 else 0), 0o666)
    if fd < 0: refused += 1; continue
    got += 1
    named += os.readlink(f'/proc/self/fd/{fd}').endswith('/comm')
    try: os.write(fd, b'500')
    except OSError: pass
    os.close(fd)
os.kill(swapper, signal.SIGKILL); os.waitpid(swapper, 0)
print(got > 0, refused > 0, named > 0)
";
    for lab in landlock_labs() {
        let victim = victim(&lab);
        let pid = victim.pid();
        let before = found(pid, "oom_score_adj");
        let other = lab.dir("other");
        let script = format!("{PRELUDE}{script}");
        let (work, beside) = (lab.path("work"), format!("{other}/made"));
        let ran = landlock(&lab).run(["python3", "-c", &script, &pid.to_string(), &beside, &work]);
        ran.assert_prints("True True True");
        assert_eq!((found(pid, "oom_score_adj"), found(pid, "comm")), (before, "sleep".to_owned()), "{}", lab.user);
        assert!(!lab.exists("other/made"));
        victim.signal(Signal::KILL);
    }
}

#[test]
fn ordinary_files_are_made_and_written_as_ever() {
    let script = r"
for number in range(2000):
    with open(f'many{number}', 'w') as file: file.write(str(number))
assert all(open(f'many{number}').read() == str(number) for number in range(2000))
failed = []
def work(which):
    try:
        for number in range(40):
            open(f'thread{which}-{number}', 'x').close()
            os.close(opened(f'thread{which}-{number}', os.O_RDWR))
            fd = opened('/proc/thread-self/comm', os.O_WRONLY); os.write(fd, f't{which}-{number}'.encode()); os.close(fd)
            assert name_of('thread-self') == f't{which}-{number}'
    except BaseException as error: failed.append(error)
threads = [threading.Thread(target=work, args=[which], daemon=True) for which in range(50)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
assert len([name for name in os.listdir('.') if name.startswith('thread')]) == 2000
# No more room for descriptors is told as the kernel tells it.
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
for path in ['/proc/self/comm', 'many0']:
    try: opened(path, os.O_WRONLY); print('opened')
    except OSError as error: print(error.errno)
";
    for lab in landlock_labs() {
        let full = Errno::MFILE.raw_os_error();
        python(landlock(&lab), script).assert_prints(&format!("{full}\n{full}"));
        assert_eq!(lab.content("work/many1999"), "1999");
    }
}

#[test]
fn callers_may_die_or_be_interrupted_at_any_moment() {
    let script = r"
import random
def ask():
    while True:
        os.close(os.open('file', os.O_WRONLY | os.O_CREAT))
        os.close(opened('/proc/self/comm', os.O_RDWR))
for number in range(150):
    child = forked(ask)
    time.sleep(random.random() / 500)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
# Those that nobody waits for become init's.
for number in range(20):
    def orphan(): forked(lambda: (time.sleep(random.random() / 50), os._exit(0))); os._exit(0)
    ended(forked(orphan))
count = 0
def tick(*_):
    global count
    count += 1
signal.signal(signal.SIGALRM, tick)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
for number in range(2000):
    os.close(opened('file', os.O_WRONLY))
    os.close(opened('/proc/self/comm', os.O_RDWR))
signal.setitimer(signal.ITIMER_REAL, 0)
print(count > 0, max(int(fd) for fd in os.listdir('/proc/self/fd')) < 10)
";
    for lab in landlock_labs() {
        python(landlock(&lab), script).assert_prints("True True");
        // A command that asks without end is still told to end, and ends.
        let endless = format!(
            "{PRELUDE}print('ready', flush=True)\nwhile True: os.close(os.open('f', os.O_WRONLY | os.O_CREAT))"
        );
        let running = landlock(&lab).start(["python3", "-c", &endless]);
        running.wait_for("ready").signal(Signal::TERM);
        assert_eq!(running.finish().code(), 143);
    }
}

#[test]
fn one_listener_holds_at_a_time_and_the_second_start_says_so() {
    for lab in landlock_labs() {
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let inner = |more: &[&str]| {
            let names = ["--", "sh", "-c", "echo x > /proc/self/comm && echo named"];
            let words = [&[binary.as_str(), "run", "--backend", "landlock"], more, &names].concat();
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let asks = inner(&["--modify", "/proc"]);
        let ran = landlock(&lab).run(&asks);
        assert!(ran.code() != 0 && ran.stdout().is_empty(), "{ran}");
        ran.assert_says("load the seccomp filter").assert_says("[baseline] keep = [\"/proc\"]");
        lab.sandbox(NONE).run(&asks).assert_prints("named");
        // Who asks for nothing of the kind starts; init of the outer one answers for both.
        landlock(&lab).run(inner(&[])).assert_prints("named");
        lab.sandbox(NONE).backend("landlock").run(["sh", "-c", "echo x > /proc/self/comm"]).assert_says("denied");
    }
}
