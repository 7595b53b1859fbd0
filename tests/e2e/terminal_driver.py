"""Runs a command in a terminal of 33 rows and 77 columns, and ends with its exit code.

Arguments: steps, `--`, the command. Steps: `expect:TEXT` waits until the output since the last match holds it,
`send:TEXT` types, `size:RxC` changes the size. Everything that the terminal shows goes to standard output.
"""

import fcntl, os, pty, select, signal, struct, sys, termios, time

at = sys.argv.index("--")
steps, command = sys.argv[1:at], sys.argv[at + 1:]
deadline = time.monotonic() + 20


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


start, go = os.pipe()
pid, terminal = pty.fork()
if pid == 0:
    os.close(go)
    os.read(start, 1)
    os.close(start)
    os.execvp(command[0], command)
os.close(start)
resize(terminal, 33, 77)
os.close(go)

shown = b""
matched = 0


def show():
    """Takes a piece of output; false at the end."""
    global shown
    if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        sys.stdout.buffer.write(shown)
        os.kill(pid, signal.SIGKILL)
        sys.exit(f"the terminal is silent, waiting for {steps[:1]}")
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        piece = b""
    shown += piece
    return bool(piece)


while steps:
    kind, text = steps[0].split(":", 1)
    if kind == "send":
        os.write(terminal, text.encode())
    elif kind == "size":
        resize(terminal, *map(int, text.split("x")))
    else:
        while (found := shown.find(text.encode(), matched)) < 0:
            if not show():
                sys.stdout.buffer.write(shown)
                sys.exit(f"ended before {text}")
        matched = found + len(text)
    steps.pop(0)
while show():
    pass
sys.stdout.buffer.write(shown)
sys.stdout.flush()
status = os.waitpid(pid, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) % 256 if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
