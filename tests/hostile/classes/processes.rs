//! Processes of the host: signals, tracing, priorities, limits. The victim says what reached it.

use super::descriptors::VICTIM;
use crate::case::{Case, Got};

/// Without the sandbox, a shell is the parent, and not the test.
const APART: &str = "\"$@\"; exit $?";

pub fn cases() -> Vec<Case> {
    let victim = |name, attack: &str| Case::new(name, Got::Outside, attack).outside(VICTIM);
    let settled = |name, before: &str, after: &str, attack: &str| {
        Case::new(name, Got::Outside, attack).outside(&format!("memory, flag = victim()\n{before}\nwait()\n{after}"))
    };
    vec![
        victim("signal", "os.kill(PID, 23)"),
        victim("signal-that-kills", "os.kill(PID, 9)"),
        victim("signal-that-stops", "os.kill(PID, 19); time.sleep(0.1); print(open('/proc/%d/stat' % PID).read())")
            .outside("memory, flag = victim()\nimport threading, subprocess\none = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); give(PID=one.pid); wait()
if open('/proc/%d/stat' % one.pid).read().split()[2] in 'Tt': got('it is stopped')
one.kill()"),
        victim("signal-to-a-thread", "call('tgkill', PID, PID, 23)"),
        victim("signal-with-a-value", "call('rt_sigqueueinfo', PID, 23, ctypes.create_string_buffer(struct.pack('<iiii', 23, 0, -1, 0) + bytes(112)))"),
        victim("signal-by-pidfd", "call('pidfd_send_signal', call('pidfd_open', PID, 0), 23, 0, 0)"),
        victim("signal-by-a-directory-of-proc", "call('pidfd_send_signal', os.open('/proc/%d' % PID, os.O_RDONLY | os.O_DIRECTORY), 23, 0, 0)"),
        victim("signal-to-its-group", "os.killpg(PID, 23)").outside(&VICTIM.replacen("memory", "os.setpgid(0, 0); memory", 1)),
        victim("signal-by-owner-of-a-descriptor", "import fcntl
a, b = socket.socketpair(); fcntl.fcntl(a, 8, PID); fcntl.fcntl(a, 10, 23); fcntl.fcntl(a, 4, fcntl.fcntl(a, 3) | os.O_ASYNC); b.send(b'x'); time.sleep(0.05)"),
        victim("signal-by-extended-owner", "import fcntl
a, b = socket.socketpair(); fcntl.fcntl(a, 15, struct.pack('<ii', 1, PID)); fcntl.fcntl(a, 10, 23); fcntl.fcntl(a, 4, fcntl.fcntl(a, 3) | os.O_ASYNC); b.send(b'x'); time.sleep(0.05)"),
        victim("signal-by-a-pipe", "import fcntl
a, b = os.pipe(); fcntl.fcntl(a, 8, PID); fcntl.fcntl(a, 10, 23); fcntl.fcntl(a, 4, fcntl.fcntl(a, 3) | os.O_ASYNC); os.write(b, b'x'); time.sleep(0.05)"),
        victim("signal-by-urgent-data", "import fcntl
one = socket.socket(); one.bind(('127.0.0.1', 0)); one.listen(1); a = socket.create_connection(one.getsockname()); b, _ = one.accept()
fcntl.fcntl(b, 8, PID); a.send(b'x', socket.MSG_OOB); time.sleep(0.1)"),
        victim("signal-by-a-lease", "import fcntl
put('mine'); fd = os.open('mine', os.O_RDONLY); fcntl.fcntl(fd, 10, 23); fcntl.fcntl(fd, 1024, 0); fcntl.fcntl(fd, 8, PID)
if os.fork() == 0: os._exit(0 * os.open('mine', os.O_WRONLY | os.O_NONBLOCK))
time.sleep(0.1)"),
        victim("signal-by-a-watch", "import fcntl
fd = os.open('.', os.O_RDONLY); fcntl.fcntl(fd, 10, 23); fcntl.fcntl(fd, 8, PID); fcntl.fcntl(fd, 1026, 4); open('mine', 'w'); fcntl.fcntl(fd, 8, PID); fcntl.fcntl(fd, 1026, 4 | 1 << 31); fcntl.fcntl(fd, 8, PID); open('mine2', 'w'); time.sleep(0.05)"),
        victim("trace", "libc.ptrace(16, PID, 0, 0); time.sleep(0.05); libc.ptrace.restype = ctypes.c_long
os.waitpid(PID, 0x40000000); libc.ptrace(5, PID, ctypes.c_void_p(FLAG_AT), ctypes.c_void_p(1)); libc.ptrace(17, PID, 0, 0)"),
        victim("trace-by-seizing", "assert libc.ptrace(0x4206, PID, 0, 0) == 0; libc.ptrace(0x4207, PID, 0, 0); os.waitpid(PID, 0x40000000)
libc.ptrace(5, PID, ctypes.c_void_p(FLAG_AT), ctypes.c_void_p(1)); libc.ptrace(17, PID, 0, 0)"),
        victim("trace-where-that-is-allowed", "libc.ptrace(16, PID, 0, 0); os.waitpid(PID, 0x40000000); libc.ptrace(5, PID, ctypes.c_void_p(FLAG_AT), ctypes.c_void_p(1)); libc.ptrace(17, PID, 0, 0)").with(&["--allow", "ptrace"]),
        Case::new("memory-read", Got::Told, "buffer = ctypes.create_string_buffer(40); here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 40); there = (ctypes.c_size_t * 2)(SECRET_AT, 40)
call('process_vm_readv', PID, here, 1, there, 1, 0); print(buffer.value)").outside(VICTIM),
        victim("memory-written", "buffer = ctypes.create_string_buffer(b'x'); here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 1); there = (ctypes.c_size_t * 2)(FLAG_AT, 1)
call('process_vm_writev', PID, here, 1, there, 1, 0)"),
        Case::new("memory-read-where-tracing-is-allowed", Got::Told, "buffer = ctypes.create_string_buffer(40); here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 40); there = (ctypes.c_size_t * 2)(SECRET_AT, 40)
call('process_vm_readv', PID, here, 1, there, 1, 0); print(buffer.value)").outside(VICTIM).with(&["--allow", "ptrace"]),
        settled("priority", "", "if os.getpriority(os.PRIO_PROCESS, 0) > 5: got('it is slower')", "call('setpriority', 0, PID, 15)"),
        settled("priority-of-its-group", "", "if os.getpriority(os.PRIO_PROCESS, 0) > 5: got('it is slower')", "call('setpriority', 1, PID, 15)").outside("os.setpgid(0, 0); memory, flag = victim()\nwait()\nif os.getpriority(os.PRIO_PROCESS, 0) > 5: got('it is slower')"),
        settled("priority-of-disk", "", "if libc.syscall(252 if os.uname().machine == 'x86_64' else 31, 1, 0) >> 13 == 3: got('its disk is slower')", "call('ioprio_set', 1, PID, 3 << 13)"),
        settled("limits", "import resource", "if resource.getrlimit(resource.RLIMIT_CORE)[0] == 77: got('its limit is changed')", "call('prlimit64', PID, 4, ctypes.create_string_buffer(struct.pack('<2Q', 77, 77)), 0)"),
        settled("processors", "os.sched_setaffinity(0, range(os.cpu_count()))", "if len(os.sched_getaffinity(0)) < os.cpu_count(): got('it has fewer processors')", "call('sched_setaffinity', PID, 8, ctypes.create_string_buffer(struct.pack('<Q', 1)))"),
        settled("scheduling", "", "if os.sched_getscheduler(0) == 3: got('it is a batch')", "os.sched_setscheduler(PID, 3, os.sched_param(0))"),
        settled("out-of-memory-score", "", "if open('/proc/self/oom_score_adj').read().strip() == '777': got('it dies first')", "open('/proc/%d/oom_score_adj' % PID, 'w').write('777')"),
        settled("core-filter", "", "if int(open('/proc/self/coredump_filter').read(), 16) == 1: got('its dumps are changed')", "open('/proc/%d/coredump_filter' % PID, 'w').write('0x1')"),
        Case::new("set-user-id-program", Got::Privileged, "os.execv(LAB + 'setuid-cat', ['setuid-cat']) if os.write(1, b'HOLD\\n') else 0")
            .by_ordinary_user()
            .rooted("cp /bin/cat @LABsetuid-cat; chown 0:0 @LABsetuid-cat; chmod 4755 @LABsetuid-cat"),
        Case::new("file-capabilities", Got::Privileged, "os.execv(LAB + 'setuid-cat', ['setuid-cat']) if os.write(1, b'HOLD\\n') else 0")
            .by_ordinary_user()
            .rooted("cp /bin/cat @LABsetuid-cat; chown 0:0 @LABsetuid-cat; chmod 755 @LABsetuid-cat; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 @LABsetuid-cat 2>/dev/null || python3 -c \"import os,struct; os.setxattr('@LABsetuid-cat', 'security.capability', struct.pack('<5I', 0x02000001, 0x400, 0, 0, 0))\""),
        Case::new("own-capabilities", Got::Privileged, "hold()").by_root(),
        Case::new("ambient-capabilities", Got::Privileged, "attempt(libc.prctl, 47, 2, 10, 0, 0); attempt(os.setuid, 0); attempt(os.setresuid, 0, 0, 0); hold()").by_root(),
        // Our own processes: what ends them must not free the command. Asked for once: in the control, who comes after is
        // the machine's own first process.
        Case::new("our-first-process-killed", Got::Lives, "parent = os.getppid()
for number in (9, 15, 19, 11):
    attempt(os.kill, parent, number)
if os.fork() == 0:
    null = os.open('/dev/null', os.O_RDWR); [os.dup2(null, n) for n in (0, 1, 2)]; os.setsid(); time.sleep(30)").by(APART),
        Case::new("supervisor-stopped-by-the-command", Got::Outside, "for pid in SUPERVISORS: attempt(os.kill, pid, 19)
time.sleep(0.1)")
            .outside("import subprocess
one = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); give(SUPERVISORS=[one.pid]); wait()
if open('/proc/%d/stat' % one.pid).read().split()[2] in 'Tt': got('it is stopped')
one.kill()"),
    ]
}
