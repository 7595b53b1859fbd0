"""The laboratory in a virtual machine: devices, the fixture's GPUs, users, and commands inside and outside a sandbox."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import attacks

LAB = Path("/srv")
LOG = LAB / "log"
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}
USERS = {"root": 0, "user": 1000}

STAND_INS = {
    "/dev/nvidiactl": (195, 255),
    "/dev/nvidia0": (195, 0),
    "/dev/nvidia1": (195, 1),
    "/dev/nvidia-uvm": (510, 0),
    "/dev/nvidia-uvm-tools": (510, 1),
}
# GPU 0 of the fixture has minor 1, and GPU 1 minor 0: an index is not a minor.
CONTROL, GRANTED, HIDDEN = "/dev/nvidiactl", "/dev/nvidia1", "/dev/nvidia0"
RENDER_NODE, CARD = "/dev/dri/renderD128", "/dev/dri/card0"
# The ABI from which on the Landlock engine runs without being told that less will do.
LANDLOCK_ALONE = 3
# Descriptors: of the process that holds the hidden node, and of a sandbox that inherits one.
HELD, INHERITED = 40, 41


class Ran:
    """A finished command."""

    def __init__(self, args, **options):
        ran = subprocess.run(args, capture_output=True, text=True, timeout=240, **options)
        self.args, self.code, self.out, self.err = args, ran.returncode, ran.stdout.strip(), ran.stderr.strip()

    def __str__(self):
        return f"{' '.join(map(str, self.args))[:300]}\n[exit {self.code}]\n{self.out}\n{self.err}"

    def prints(self, *lines):
        assert (self.code, self.out.splitlines()) == (0, [*lines]), f"{lines} were expected:\n{self}"

    def refused(self, *words):
        assert self.code == 125 and all(word in self.err for word in words), f"{words} were expected:\n{self}"


class Lab:
    """One user with a workspace and a home, and one engine; None is what ringfence chooses."""

    def __init__(self, engine, user):
        self.engine, self.user, self.uid = engine, user, USERS[user]
        self.ringfence = str(LAB / "ringfence")
        self.work, self.home = LAB / user / "work", LAB / user / "home"
        shutil.rmtree(LAB / user, ignore_errors=True)
        for place in (self.work, self.home):
            place.mkdir(parents=True)
            os.chown(place, self.uid, self.uid)

    def start(self, args):
        """The arguments of a command as the user, and where it runs."""
        become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"] if self.uid else []
        return [*become, *args], {"cwd": self.work, "env": ENV | {"HOME": str(self.home)}}

    def outside(self, args, **options):
        args, where = self.start(args)
        return Ran(args, **where, **options)

    def sandbox(self, options):
        engine = ["--backend", self.engine] if self.engine else []
        # An old kernel's Landlock has to be asked for what it can do.
        if self.engine == "landlock" and landlock_abi() < LANDLOCK_ALONE and "--landlock" not in options:
            engine += ["--landlock", "best-effort"]
        return [self.ringfence, "run", *engine, *options, "--"]

    def inside(self, options, args, **more):
        return self.outside([*self.sandbox(options), *args], **more)

    def ask(self, options, *questions):
        """Asks nodes inside, see probe.py."""
        return self.inside(options, script("probe.py", *questions))

    def ask_outside(self, *questions):
        return self.outside(script("probe.py", *questions))


def script(name, *args):
    """Without the packages of the machine, Python starts in half the time."""
    return ["/usr/bin/python3", "-S", "-B", str(LAB / name), *args]


class Touched:
    """What the log of the stand-ins tells from now on."""

    def __init__(self):
        self.start = LOG.stat().st_size

    def lines(self, node):
        """Of one stand-in: what was done, by which user, and which word was written."""
        lines = (line.split() + [""] for line in LOG.read_text()[self.start :].splitlines())
        return [(what, int(uid), word) for name, what, uid, _, word, *_ in lines if name == Path(node).name]

    def words(self, node):
        return {word for what, _, word in self.lines(node) if what == "write"}

    def anything(self):
        return LOG.stat().st_size > self.start


class inherited:
    """A descriptor of a stand-in that every child gets."""

    def __init__(self, node):
        self.node = node

    def __enter__(self):
        fd = os.open(self.node, os.O_RDWR)
        os.dup2(fd, INHERITED, inheritable=True)
        os.close(fd)
        return INHERITED

    def __exit__(self, *_):
        os.close(INHERITED)


class holder:
    """A process of the user, outside, that has the hidden node open. Gives the aim of all attacks."""

    def __init__(self, lab, options):
        self.lab, self.nested = lab, [option for option in options if option == "--no-proc"]

    def __enter__(self):
        lab = self.lab
        link, abstract = lab.work / "link", f"hold-{os.urandom(4).hex()}"
        link.unlink(missing_ok=True)
        link.symlink_to(HIDDEN)
        (lab.work / "socket").unlink(missing_ok=True)
        aim = {
            "node": HIDDEN,
            "granted": GRANTED,
            "number": STAND_INS[HIDDEN],
            "handle": file_handle(HIDDEN),
            "link": "link",
            "socket": str(lab.work / "socket"),
            "abstract": abstract,
            "held": HELD,
            "fd": INHERITED,
            "ringfence": lab.sandbox(self.nested)[:-1],
            "outside": False,
        }
        args, where = lab.start(script("attacks.py", "hold", json.dumps(aim)))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(args, stdin=pipe, stdout=pipe, text=True, **where)
        assert self.process.stdout.readline() == "ready\n"
        return aim | {"holder": self.process.pid}

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def file_handle(path):
    """What open_by_handle_at takes for a file, as hexadecimal digits (struct file_handle)."""
    name_to_handle_at, at_fdcwd, room = 303, -100, 128
    handle = ctypes.create_string_buffer(room.to_bytes(4, "little"), 8 + room)
    mount = ctypes.c_int()
    attacks.call(attacks.libc.syscall(name_to_handle_at, at_fdcwd, path.encode(), handle, ctypes.byref(mount), 0))
    return handle.raw.hex()


def landlock_abi():
    """0 without Landlock (landlock_create_ruleset(2))."""
    landlock_create_ruleset, ask_version = 444, 1
    return max(0, attacks.libc.syscall(landlock_create_ruleset, None, 0, ask_version))


def in_memory(ringfence, fixture=None):
    """The laboratory in memory: the program, these scripts, and a machine of tests/hosts."""
    fresh = Path("/run/lab")
    fresh.mkdir()
    do("mount", "-t", "tmpfs", "-o", "mode=755", "lab", fresh)
    shutil.copy(ringfence, fresh / "ringfence")
    for file in Path(__file__).parent.glob("*.py"):
        shutil.copy(file, fresh)
    if fixture:
        shutil.copytree(fixture, fresh / "fixture")
    # What was copied may lie below the place that this covers.
    do("mount", "--move", fresh, LAB)


def prepare(ringfence, fixture):
    """The laboratory, and the devices."""
    in_memory(ringfence, fixture)
    for module in ("vgem", "cuse"):
        do("modprobe", module)
    LOG.touch()
    devices = [f"{Path(node).name}:{major}:{minor}" for node, (major, minor) in STAND_INS.items()]
    subprocess.Popen([sys.executable, LAB / "cuse.py", LOG, *devices])
    Path("/dev/char").mkdir(exist_ok=True)
    for node in (*STAND_INS, RENDER_NODE, CARD):
        until(lambda: os.path.exists(node), node)
        os.chmod(node, 0o666)
        number = os.stat(node).st_rdev
        link = Path(f"/dev/char/{os.major(number)}:{os.minor(number)}")
        link.unlink(missing_ok=True)
        link.symlink_to(node)


def show_gpus():
    """Shows the GPUs of the fixture in /proc, beside the devices that this kernel has."""
    fixture = LAB / "fixture"
    do("mount", "--bind", f"{fixture}/proc/driver", "/proc/driver")
    majors = {major for major, _ in STAND_INS.values()}

    def lines(path, theirs):
        return [line for line in Path(path).read_text().splitlines() if starts_with(line, majors) == theirs]

    title, *own = lines("/proc/devices", False)
    text = "\n".join([title, *lines(f"{fixture}/proc/devices", True), *own])
    (LAB / "devices").write_text(f"{text}\n")
    do("mount", "--bind", LAB / "devices", "/proc/devices")


def starts_with(line, numbers):
    return any(re.match(rf" *{number} ", line) for number in numbers)


def do(*args):
    subprocess.run(list(map(str, args)), check=True)


def until(met, what):
    end = time.monotonic() + 30
    while not met():
        assert time.monotonic() < end, f"{what} did not appear"
        time.sleep(0.05)
