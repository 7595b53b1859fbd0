//! The caller's terminal and other people's.

use crate::case::{Case, Got};

/// Runs the command on a terminal of its own; what stands in its input afterwards and whether its settings changed goes to
/// a log of the host's.
const TERMINAL: &str = "exec /usr/bin/python3 -I -S -c '
import os, pty, signal, sys, termios
log, argv = sys.argv[1], sys.argv[2:]
pid, master = pty.fork()
if pid == 0:
    before = termios.tcgetattr(0)
    child = os.fork()
    if child == 0: os.setpgid(0, 0); os.execvp(argv[0], argv)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try: os.setpgid(child, child)
    except OSError: pass
    os.tcsetpgrp(0, child); _, status = os.waitpid(child, 0); os.tcsetpgrp(0, os.getpgid(0))
    after = termios.tcgetattr(0)
    raw = termios.tcgetattr(0); raw[3] &= ~(termios.ICANON | termios.ECHO); raw[6][termios.VMIN] = 0; raw[6][termios.VTIME] = 1; termios.tcsetattr(0, termios.TCSANOW, raw)
    with open(log, \"ab\") as file: file.write(os.read(0, 4096) + (b\" SETTINGS\" if before != after else b\"\"))
    os._exit(os.waitstatus_to_exitcode(status) & 255)
while True:
    try: data = os.read(master, 4096)
    except OSError: break
    if not data: break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
' @HOME/log \"$@\"";

const LOG: &str = "open(HOME + '/log', 'w'); wait()\nif MARK in open(HOME + '/log').read(): got('it was typed')";

const OTHER: &str = "master, slave = os.openpty(); give(NAME=os.ttyname(slave)); os.set_blocking(master, False); os.write(master, (TOKEN + '\\n').encode()); wait()
try:
    if MARK.encode() in os.read(master, 4096): got('it was written to another terminal')
except BlockingIOError: pass";

pub fn cases() -> Vec<Case> {
    let typed = |name, attack: &str| {
        Case::new(name, Got::Outside, &format!("import fcntl\n{attack}")).outside(LOG).by(TERMINAL)
    };
    vec![
        typed("typing", "for letter in MARK: fcntl.ioctl(0, 0x5412, letter.encode())"),
        typed("typing-on-the-output", "for letter in MARK: fcntl.ioctl(1, 0x5412, letter.encode())"),
        typed("typing-by-name", "fd = os.open('/dev/tty', os.O_RDWR)\nfor letter in MARK: fcntl.ioctl(fd, 0x5412, letter.encode())"),
        typed("typing-with-high-bits", "for letter in MARK: call('ioctl', 0, 0x5412 | 1 << 32, ctypes.create_string_buffer(letter.encode()))"),
        typed("typing-in-the-background", "os.setpgid(0, 0) if os.fork() == 0 else os.wait()\nimport signal; signal.signal(22, signal.SIG_IGN)\nfor letter in MARK: fcntl.ioctl(0, 0x5412, letter.encode())"),
        Case::new("settings", Got::Outside, "import termios; one = termios.tcgetattr(0); one[3] &= ~termios.ECHO; termios.tcsetattr(0, termios.TCSANOW, one)")
            .outside(&LOG.replace("MARK in", "'SETTINGS' in"))
            .by(TERMINAL),
        Case::new("another-one-written", Got::Outside, "put(NAME, os.O_WRONLY | os.O_NOCTTY)").outside(OTHER),
        Case::new("another-one-read", Got::Told, "cat(NAME)").outside(OTHER),
        Case::new("another-one-typed-into", Got::Outside, "import fcntl; fd = os.open(NAME, os.O_RDWR)\nfor letter in MARK: fcntl.ioctl(fd, 0x5412, letter.encode())").outside(OTHER).by_root(),
        Case::new("another-one-by-a-process", Got::Outside, "put('/proc/%d/fd/%d' % (PID, FD), os.O_WRONLY | os.O_NOCTTY)").outside(&OTHER.replace("give(", "give(PID=os.getpid(), FD=slave, ")),
        Case::new("virtual-console", Got::Device(5, 1), "try: os.open('/dev/console', os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)\nexcept OSError as error: lacks(error)\nhold()").by_root(),
        Case::new("first-virtual-terminal", Got::Device(4, 0), "try: os.open('/dev/tty0', os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)\nexcept OSError as error: lacks(error)\nhold()").by_root(),
    ]
}
