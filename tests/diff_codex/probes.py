# Tries everything that a policy may allow or deny, inside the sandbox, and says `name=ok` or `name=ERRNO` for each.
# Called with one argument, a JSON object; `main.rs` tells what is in it. Nothing here is told what to expect.
import ctypes, errno, json, os, signal, socket, sys

spec = json.loads(sys.argv[1])
base, tag = spec["base"], spec["tag"]
libc = ctypes.CDLL(None, use_errno=True)


def short(path):
    return path.replace(base + "/", "").replace(base, "B")


def outcome(act):
    try:
        said = act()
        return "ok" if said is None else "ok " + short(str(said))
    except TimeoutError:
        return "TIMEOUT"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except Exception as error:
        return type(error).__name__


def probe(name, act):
    print(f"{name}={outcome(act)}", flush=True)


def in_child(act):
    """Runs what may kill or change its process in one of its own."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            act()
        except OSError as error:
            code = error.errno or 255
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return f"killed by {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    if code:
        raise OSError(code, "in child")


def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "call")


def opened(path, flags):
    os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY))


def read(path):
    with open(path) as file:
        file.read(64)


def put(path, flags, text=b"changed\n"):
    fd = os.open(path, flags, 0o644)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def move_and_back(path):
    os.rename(path, path + "~")
    os.rename(path + "~", path)


def kind(path):
    found = os.lstat(path)
    letters = {0o040000: "dir", 0o100000: "file", 0o120000: "link", 0o020000: "char", 0o140000: "socket"}
    return letters.get(found.st_mode & 0o170000, "other")


def directory(path):
    at = short(path)
    inside = lambda name: os.path.join(path, name)
    probe(f"{at}:list", lambda: ",".join(sorted(os.listdir(path))))
    probe(f"{at}:read", lambda: read(inside("f")))
    probe(f"{at}:write", lambda: put(inside("f"), os.O_WRONLY | os.O_TRUNC))
    probe(f"{at}:create", lambda: put(inside("new"), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    probe(f"{at}:mkdir", lambda: os.mkdir(inside("newdir")))
    probe(f"{at}:rename", lambda: os.rename(inside("f2"), inside("f3")))
    probe(f"{at}:delete", lambda: os.unlink(inside("f4")))
    probe(f"{at}:symlink", lambda: os.symlink("f", inside("newlink")))
    probe(f"{at}:hardlink", lambda: os.link(inside("f"), inside("newhard")))
    probe(f"{at}:chmod", lambda: os.chmod(inside("f"), 0o600))
    probe(f"{at}:setuid", lambda: os.chmod(inside("new"), 0o4755))
    probe(f"{at}:move", lambda: move_and_back(path))


def other(path):
    at = short(path)
    probe(f"{at}:kind", lambda: kind(path))
    probe(f"{at}:read", lambda: read(path))
    probe(f"{at}:append", lambda: put(path, os.O_WRONLY | os.O_APPEND))
    probe(f"{at}:through", lambda: put(os.path.join(path, "through"), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    probe(f"{at}:move", lambda: move_and_back(path))
    probe(f"{at}:delete", lambda: os.unlink(path))


def missing(path):
    at = short(path)
    probe(f"{at}:kind", lambda: kind(path))
    probe(f"{at}:mkdir", lambda: os.mkdir(path))
    probe(f"{at}:create", lambda: put(os.path.join(path, "new"), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    probe(f"{at}:rmdir", lambda: os.rmdir(path))


def sockets():
    for family in ("UNIX", "INET", "INET6", "NETLINK", "PACKET", "VSOCK"):
        number = getattr(socket, "AF_" + family)
        how = socket.SOCK_RAW if family in ("NETLINK", "PACKET") else socket.SOCK_STREAM
        probe(f"socket:{family}", lambda: socket.socket(number, how).close())
        probe(f"socketpair:{family}", lambda: [end.close() for end in socket.socketpair(number)] and None)


def talk():
    def pair(act):
        one, two = socket.socketpair()
        with one, two:
            act(one, two)

    probe("pair:send", lambda: pair(lambda one, two: one.send(b"x") and None))
    probe("pair:sendmsg", lambda: pair(lambda one, two: one.sendmsg([b"x"]) and None))
    probe("pair:getsockopt", lambda: pair(lambda one, two: one.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) and None))
    probe("pair:setsockopt", lambda: pair(lambda one, two: one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)))
    probe("pair:shutdown", lambda: pair(lambda one, two: one.shutdown(socket.SHUT_WR)))

    def connect(family, address):
        with socket.socket(family) as caller:
            caller.settimeout(3)
            caller.connect(address)

    def loopback(family, host):
        with socket.socket(family) as server, socket.socket(family) as caller:
            caller.settimeout(3)
            server.bind((host, 0))
            server.listen()
            caller.connect(server.getsockname())

    def datagram():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
            caller.sendmsg([b"hello"], [], 0, spec["datagrams"])

    def listen_in(path):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
        os.unlink(path)

    probe("host:unix", lambda: connect(socket.AF_UNIX, spec["listener"]))
    probe("host:datagram", datagram)
    probe("host:tcp", lambda: connect(socket.AF_INET, ("127.0.0.1", spec["port"])))
    probe("loopback:4", lambda: loopback(socket.AF_INET, "127.0.0.1"))
    probe("loopback:6", lambda: loopback(socket.AF_INET6, "::1"))
    probe("listen:workspace", lambda: listen_in(os.path.join(base, "W", "sock")))
    probe("listen:abstract", lambda: listen_abstract())


def listen_abstract():
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + tag)


def devices():
    for name in ("null", "zero", "full", "urandom", "tty", "kmsg", "loop-control", "fuse"):
        probe(f"/dev/{name}:r", lambda: opened("/dev/" + name, os.O_RDONLY))
        probe(f"/dev/{name}:w", lambda: opened("/dev/" + name, os.O_WRONLY))
    probe("/dev:create", lambda: put("/dev/" + tag, os.O_WRONLY | os.O_CREAT | os.O_EXCL) or os.unlink("/dev/" + tag))
    for directory in ("/dev/shm", "/tmp"):
        probe(f"{directory}:create", lambda: put(f"{directory}/{tag}", os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def same_again(path):
    """Writes to a setting what it says already."""
    with open(path) as file:
        value = file.read()
    put(path, os.O_WRONLY, value.encode())


def processes():
    status = open("/proc/self/status").read() if os.path.exists("/proc/self/status") else ""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for name in ("NoNewPrivs", "Seccomp", "CapEff", "CapBnd"):
        print(f"status:{name}={fields.get(name, 'absent')}")
    probe("proc:1/environ", lambda: read("/proc/1/environ"))
    probe("proc:1/root", lambda: os.listdir("/proc/1/root") and None)
    probe("proc:core_pattern", lambda: same_again("/proc/sys/kernel/core_pattern"))
    probe("ptrace", lambda: in_child(lambda: call(libc.ptrace, 0, 0, 0, 0)))
    probe("unshare:user", lambda: in_child(lambda: call(libc.unshare, 0x10000000)))
    probe("unshare:mount", lambda: in_child(lambda: call(libc.unshare, 0x00020000)))
    # No mount point, so who may mount is told EINVAL, and nothing is changed where the policy allows everything.
    probe("mount", lambda: call(libc.mount, b"none", os.path.join(base, "W", "sub").encode(), None, 0x40000, None))
    probe("kill:host", lambda: os.kill(spec["victim"], signal.SIGTERM))
    probe("kill:own", lambda: in_child(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    for name, number in (("io_uring_setup", 425), ("keyctl", 250), ("userfaultfd", 323), ("perf_event_open", 298), ("bpf", 321)):
        if os.uname().machine == "x86_64":
            # Arguments that the kernel refuses: only whether the call is there at all is asked.
            probe(f"syscall:{name}", lambda: call(libc.syscall, number, -1, 0, -1, -1, -1))


def surroundings():
    probe("cwd", os.getcwd)
    print("PWD=" + short(os.environ.get("PWD", "unset")))
    print("env=" + ",".join(sorted(name for name in os.environ if name != "LC_CTYPE")))
    print(f"ids={os.getuid()},{os.getgid()}")
    for path in ("/", "/etc", "/usr", "/proc", "/sys", "/run", "/var", "/dev", "/tmp"):
        probe(f"{path}:list", lambda: os.listdir(path) and None)


print("ran=yes", flush=True)
surroundings()
for path in spec["dirs"]:
    directory(path)
for path in spec["others"]:
    other(path)
for path in spec["missing"]:
    missing(path)
sockets()
talk()
devices()
processes()
sys.exit(7)
