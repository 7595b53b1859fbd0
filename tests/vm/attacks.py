"""Tries to reach a device node that was not granted, inside a sandbox and outside as the control.

    attacks.py attack AIM    tries everything, prints a line for each attack: its name and how it ended
    attacks.py hold AIM      holds the node open and gives it away, until its input ends

AIM is JSON, see `holder` in lab.py. A node that is reached is told the name of the attack, for the log of cuse.py.
"""

import ctypes
import errno
import glob
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from probe import VERSION, answer, open_node, touch

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
OPEN_BY_HANDLE_AT, PIDFD_OPEN, PIDFD_GETFD = 304, 434, 438

libc = ctypes.CDLL(None, use_errno=True)

# Name, function, and who succeeds with it where no sandbox is: those are its controls.
ATTACKS = []


def attack(*who):
    """An attack gives a descriptor of the hidden node, or None when another program has touched it already."""

    def add(function):
        ATTACKS.append((function.__name__, function, who))
        return function

    return add


def call(result):
    """The result of a C call, or its error."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def first(attempts):
    """The first attempt that works; the last one's error if none does."""
    error = OSError(errno.ENOENT, "nothing to try")
    for attempt in attempts:
        try:
            return attempt()
        except OSError as failed:
            error = failed
    raise error


def openers(paths):
    return (lambda path=path: open_node(path) for path in paths)


def processes():
    """The processes that can be seen, but for our own."""
    own = (os.getpid(), os.getppid())
    return [path for path in glob.glob("/proc/[0-9]*") if int(Path(path).name) not in own]


def own_mounts():
    """Mounts of our own; with a user namespace where that takes one."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNS) != 0:
        call(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def mount(source, target, kind, flags):
    word = kind and kind.encode()
    call(libc.mount(source.encode(), target.encode(), word, ctypes.c_ulong(flags), None))


def here(name):
    Path(name).mkdir(exist_ok=True)
    return name


# --- by names


@attack("root", "user")
def path(aim):
    return open_node(aim["node"])


@attack("root", "user")
def link_in_dev_char(aim):
    return open_node("/dev/char/{}:{}".format(*aim["number"]))


@attack("root", "user")
def link_in_workspace(aim):
    return open_node(aim["link"])


@attack("root", "user")
def root_of_a_process(aim):
    return first(openers(f"{process}/root{aim['node']}" for process in processes()))


@attack("root", "user")
def descriptor_of_a_process(aim):
    found = []
    for link in (link for process in processes() for link in glob.glob(f"{process}/fd/*")):
        try:
            found += [link] if os.stat(link).st_rdev == os.makedev(*aim["number"]) else []
        except OSError:
            continue
    return first(openers(found))


# --- by numbers


def make_node(place, aim):
    node = f"{place}/{os.getpid()}"
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(*aim["number"]))
    try:
        return open_node(node)
    finally:
        os.unlink(node)


@attack("root")
def mknod_in_workspace(aim):
    return make_node(".", aim)


@attack("root")
def mknod_in_tmp(aim):
    return make_node(tempfile.gettempdir(), aim)


@attack("root")
def file_handle(aim):
    places = ["/dev", aim["granted"], "/proc/self/root", "."]
    handle = ctypes.create_string_buffer(bytes.fromhex(aim["handle"]))

    def by(place):
        anchor = os.open(place, os.O_PATH if place == aim["granted"] else os.O_RDONLY)
        return call(libc.syscall(OPEN_BY_HANDLE_AT, anchor, handle, os.O_RDWR))

    return first(lambda place=place: by(place) for place in places)


# --- by mounts


@attack("root", "user")
def bind_of_dev(aim):
    own_mounts()
    mount("/dev", here("bound"), None, MS_BIND | MS_REC)
    return open_node(f"bound/{Path(aim['node']).name}")


@attack("root")
def fresh_devtmpfs(aim):
    own_mounts()
    mount("dev", here("fresh"), "devtmpfs", 0)
    return open_node(f"fresh/{Path(aim['node']).name}")


@attack("root", "user")
def what_dev_covers(aim):
    try:
        own_mounts()
    except OSError:
        pass  # The mounts that are there may do.
    if aim["outside"]:
        mount("cover", "/dev", "tmpfs", 0)
        if os.path.exists(aim["node"]):
            raise RuntimeError("nothing was covered")

    def uncover():
        call(libc.umount2(b"/dev", MNT_DETACH))
        return open_node(aim["node"])

    return first([uncover] * 3)


@attack("root")
def mounts_of_a_process(aim):
    def enter(process):
        call(libc.setns(os.open(f"{process}/ns/mnt", os.O_RDONLY), CLONE_NEWNS))
        return open_node(aim["node"])

    return first(lambda process=process: enter(process) for process in processes())


# --- by descriptors


@attack("root", "user")
def inherited_descriptor(aim):
    if os.fstat(aim["fd"]).st_rdev != os.makedev(*aim["number"]):
        raise OSError(errno.EBADF, "it is something else")
    return os.dup(aim["fd"])


@attack("root", "user")
def inherited_descriptor_opened_again(aim):
    if os.stat(f"/proc/self/fd/{aim['fd']}").st_rdev != os.makedev(*aim["number"]):
        raise OSError(errno.EBADF, "it is something else")
    return open_node(f"/proc/self/fd/{aim['fd']}")


@attack("root", "user")
def copy_of_a_descriptor(aim):
    def copy(process):
        pidfd = call(libc.syscall(PIDFD_OPEN, process, 0))
        return call(libc.syscall(PIDFD_GETFD, pidfd, aim["held"], 0))

    seen = [int(Path(process).name) for process in processes()]
    return first(lambda process=process: copy(process) for process in [aim["holder"], *seen])


def received(address):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(5)
        stream.connect(address)
        return socket.recv_fds(stream, 1, 1)[1][0]


@attack("root", "user")
def socket_in_workspace(aim):
    return received(aim["socket"])


@attack("root", "user")
def abstract_socket(aim):
    return received("\0" + aim["abstract"])


# --- by programs


@attack("root", "user")
def another_sandbox(aim):
    touch = [sys.executable, "-S", Path(__file__).with_name("probe.py"), f"touch:{aim['node']}:another_sandbox"]
    ran = subprocess.run([*aim["ringfence"], "--device", aim["node"], "--", *touch], capture_output=True, text=True)
    if VERSION not in ran.stdout:
        raise OSError(errno.EPERM, ran.stderr)


# --- how they are tried


def attempt(name, function, aim):
    """One attack, in a process of its own: it may change anything of itself."""
    fd = function(aim)
    return "touched" if fd is None or touch(fd, name) == VERSION else "answered nonsense"


def attack_all(aim):
    for name, function, _ in ATTACKS:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                print(name, answer(lambda: attempt(name, function, aim)), flush=True)
            except BaseException as error:  # A broken attack must not pass for a denied one.
                print(name, "broken:", repr(error), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            print(name, "broken: status", status, flush=True)


def hold(aim):
    """A process of the same user outside, which has the node open and gives it to everybody."""
    fd = open_node(aim["node"])
    os.dup2(fd, aim["held"])
    streams = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for stream, address in zip(streams, (aim["socket"], "\0" + aim["abstract"])):
        stream.bind(address)
        stream.listen()
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([0, *streams], [], [])
        if 0 in ready:
            return
        for stream in ready:
            with stream.accept()[0] as other:
                socket.send_fds(other, [b"x"], [fd])


if __name__ == "__main__":
    {"attack": attack_all, "hold": hold}[sys.argv[1]](json.loads(sys.argv[2]))
