//! Descriptors that come in with the command, and what `/proc` tells of others'.

use crate::case::{Case, Engine, Got};

/// What the host's side of these cases is: a process with the secret in every corner.
pub const VICTIM: &str = "memory, flag = victim()\nwait()\nif flag.value: got('its memory was changed')";

const APPENDING: &str =
    "A file as standard output can be read back, and its mode and times can be changed through the descriptor";

const PROC: &str = "what the caller may read of `/proc` can be read";

/// Does something to each process that can be seen.
fn each_process(act: &str) -> String {
    format!("def act(pid):\n    {act}\nfor pid in pids():\n    if pid != os.getpid(): attempt(act, pid)")
}

pub fn cases() -> Vec<Case> {
    let told = |name, attack: &str| Case::new(name, Got::Told, attack).denying();
    let changes = |name, attack: &str| Case::new(name, Got::Changed, attack);
    let victim = |case: Case| case.outside(VICTIM);
    vec![
        changes("inherited-for-writing", "os.write(37, MARK.encode())").by("exec 37>>@FILE; exec \"$@\""),
        changes("inherited-with-a-high-number", "os.write(900, MARK.encode())").by("exec 900>>@FILE; exec \"$@\""),
        changes("inherited-directory", "put('/proc/self/fd/37/new'); os.fchdir(37); put('new')").by("exec 37<@OUT; exec \"$@\""),
        told("inherited-for-reading", "print(os.read(38, 99))").by("exec 38<@SECRET; exec \"$@\""),
        told("inherited-directory-that-is-hidden", "print(os.read(os.open('secret', os.O_RDONLY, dir_fd=39), 99))").by("exec 39<@VAULT; exec \"$@\""),
        Case::new("inherited-is-not-left-open", Got::Holds("out/file"), "hold()").by("exec 37<@FILE; exec \"$@\""),
        Case::new("inherited-connection-of-the-host", Got::Outside, "os.write(37, MARK.encode())")
            .outside("one = unix(OUT + '/s'); serve(one, connections=False)")
            .by("exec /usr/bin/python3 -c 'import os,socket,sys\ns = socket.socket(socket.AF_UNIX); s.connect(\"@OUT/s\"); os.dup2(s.fileno(), 37); os.set_inheritable(37, True)\nimport subprocess; sys.exit(subprocess.call(sys.argv[1:], close_fds=False))' \"$@\""),
        changes("input-opened-again-for-writing", "for path in ('/proc/self/fd/0', '/dev/stdin', '/dev/fd/0', '/proc/thread-self/fd/0'): attempt(put, path, os.O_WRONLY | os.O_APPEND)")
            .by("exec \"$@\" <@FILE"),
        changes("input-truncated", "attempt(os.truncate, '/proc/self/fd/0', 0); attempt(os.open, '/proc/self/fd/0', os.O_RDONLY | os.O_TRUNC)").by("exec \"$@\" <@FILE"),
        changes("input-linked", "libc.linkat(-100, b'/proc/self/fd/0', -100, b'link', 0x400); put('link', os.O_WRONLY)").by("exec \"$@\" <@FILE"),
        changes("input-mode", "os.fchmod(0, 0o777)").by("exec \"$@\" <@FILE")
            .unpromised(&[Engine::Landlock], "It knows no right for mode, owner, times, extended attributes and flags (`chattr`): those of the caller's own files can be changed everywhere"),
        Case::bash("input-is-a-directory-to-make-files-in", Got::Changed, "cd /dev/fd/0; echo x > new; echo x > /proc/self/fd/0/newer").by("exec \"$@\" <@OUT").may_refuse(),
        Case::bash("input-is-a-directory-above-the-hidden", Got::Told, "cat /dev/fd/0/vault/secret; cd /proc/self/fd/0; cat vault/secret").denying().by("exec \"$@\" <@LAB").may_refuse(),
        Case::bash("input-is-a-directory-beside-the-hidden", Got::Told, "cat /dev/fd/0/../vault/secret; cd /proc/self/fd/0; cat ../vault/secret").denying().by("exec \"$@\" <@OUT").may_refuse(),
        told("input-is-hidden", "print(os.read(0, 99))").by("exec \"$@\" <@SECRET").may_refuse(),
        told("input-is-a-hard-link-of-the-hidden", "print(os.read(0, 99))")
            .by("exec \"$@\" <@OUT/other-name")
            .outside("os.link(SECRET, OUT + '/other-name'); wait()")
            .may_refuse()
            .unpromised(&Engine::ALL, "A copy or another hard link of a hidden file elsewhere is not hidden"),
        changes("errors-opened-again", "for flags in (os.O_WRONLY | os.O_TRUNC, os.O_RDWR, os.O_WRONLY): attempt(put, '/proc/self/fd/2', flags)").by("exec \"$@\" 2>>@FILE"),
        changes("errors-mode", "attempt(os.fchmod, 2, 0o777)").by("exec \"$@\" 2>>@FILE").unpromised(&Engine::ALL, APPENDING),
        changes("reopened-by-number", "fd = os.open(FILE, os.O_RDONLY); put('/proc/self/fd/%d' % fd, os.O_WRONLY)"),
        changes("reopened-from-a-bare-path", "fd = os.open(FILE, os.O_PATH); put('/proc/self/fd/%d' % fd, os.O_WRONLY)"),
        changes("root-of-every-process", &each_process("os.readlink('/proc/%d/cwd' % pid) == OUT and put('/proc/%d/cwd/new' % pid); put('/proc/%d/root%s/new' % (pid, OUT))")).outside("os.chdir(OUT); give(PID=os.getpid()); wait()"),
        victim(changes("directory-of-a-process", "put('/proc/%d/cwd/file' % PID)")),
        victim(changes("threads-of-a-process", "attempt(put, '/proc/%d/task/%d/cwd/file' % (PID, PID)); attempt(put, '/proc/%d/task/%d/root%s' % (PID, PID, FILE))")),
        victim(told("descriptor-of-a-process", "cat('/proc/%d/fd/%d' % (PID, FD))")),
        victim(told("descriptors-of-every-process", &each_process("[attempt(cat, '/proc/%d/fd/%s' % (pid, fd)) for fd in os.listdir('/proc/%d/fd' % pid) if 'descriptor' in os.readlink('/proc/%d/fd/%s' % (pid, fd))]"))),
        victim(told("descriptor-fetched-by-pidfd", "pid = call('pidfd_open', PID, 0); print(os.pread(call('pidfd_getfd', pid, FD, 0), 99, 0))")),
        victim(told("environment-of-every-process", &each_process("print([word for word in open('/proc/%d/environ' % pid, 'rb').read().split(b'\\0') if b'HOSTS_SECRET' in word])"))),
        told("environment-of-our-own-processes", &each_process("print(pid, [word for word in open('/proc/%d/environ' % pid, 'rb').read().split(b'\\0') if b'RINGFENCE_TEST_TOKEN' in word])"))
            .env(&[("RINGFENCE_TEST_TOKEN", "@TOKEN")])
            .by("\"$@\"; exit $?"),
        told("own-environment", "print(os.environ)").env(&[("GITHUB_TOKEN", "@TOKEN"), ("AWS_SECRET_ACCESS_KEY", "@TOKEN"), ("DB_PASSWORD", "@TOKEN")]),
        told("own-first-environment", "print(open('/proc/self/environ').read())").env(&[("OPENAI_API_KEY", "@TOKEN")]),
        told("arguments-of-every-process", &each_process("print(open('/proc/%d/cmdline' % pid).read()[-200:] if pid == PID else '')"))
            .outside("import subprocess\none = subprocess.Popen([sys.executable, '-c', 'input()', TOKEN], stdin=subprocess.PIPE); give(PID=one.pid); wait(); one.kill()")
            .unpromised(&[Engine::Landlock], PROC),
        victim(told("memory-by-proc", "fd = os.open('/proc/%d/mem' % PID, os.O_RDONLY); print(os.pread(fd, 40, SECRET_AT))")),
        victim(Case::new("memory-written-by-proc", Got::Outside, "fd = os.open('/proc/%d/mem' % PID, os.O_RDWR); os.pwrite(fd, b'x', FLAG_AT)")),
        told("memory-of-our-own-processes", &each_process("maps = open('/proc/%d/maps' % pid).read(); fd = os.open('/proc/%d/mem' % pid, os.O_RDONLY)
    for line in maps.splitlines():
        if '[heap]' in line or '[stack]' in line:
            begin, end = (int(word, 16) for word in line.split(' ')[0].split('-'))
            found = os.pread(fd, end - begin, begin); at = found.find(b'RINGFENCE_TEST_TOKEN='); print(found[at:at + 60])"))
            .outside("import subprocess\none = subprocess.Popen(['/bin/sleep', '60'], env={'RINGFENCE_TEST_TOKEN': TOKEN}); give(PID=one.pid); wait(); one.kill()")
            .env(&[("RINGFENCE_TEST_TOKEN", "@TOKEN")]),
    ]
}
