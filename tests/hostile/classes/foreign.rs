//! System calls past the filter: by another ABI of the same machine, by bits that the kernel does not look at, by what makes
//! calls on its own.

use crate::case::{Case, Got};

/// `int 0x80`: the numbers of i386, whose arguments have 32 bits.
const I386: &str = "if not X86: print('LACKS a second ABI'); sys.exit()
import mmap
libc.mmap.restype = ctypes.c_void_p
low = libc.mmap(None, ctypes.c_size_t(4096), 3, 0x62, -1, ctypes.c_long(0))
def i386(number, *words):
    words = list(words) + [0] * (5 - len(words)); at = 0; code = b'\\x53'
    for index, word in enumerate(words):
        if isinstance(word, bytes): ctypes.memmove(low + at, word, len(word)); word, at = low + at, at + len(word) + 8
        words[index] = word & 0xffffffff
    for opcode, word in zip((0xbb, 0xb9, 0xba, 0xbe, 0xbf), words): code += bytes([opcode]) + struct.pack('<I', word)
    code += b'\\xb8' + struct.pack('<I', number) + b'\\xcd\\x80\\x48\\x63\\xc0\\x5b\\xc3'
    found = machine(code)()
    if found < 0: raise OSError(-found, os.strerror(-found))
    return found
";

/// The numbers of x32: those of x86_64 with a bit.
const X32: &str = "if not X86: print('LACKS a second ABI'); sys.exit()
def x32(number, *words):
    found = libc.syscall(ctypes.c_long(0x40000000 | number), *[ctypes.c_long(word) if isinstance(word, int) else word for word in words])
    if found == -1: lacks(OSError(ctypes.get_errno(), 'x32'))
    return found
";

pub fn cases() -> Vec<Case> {
    let i386 = |name, got, attack: &str| Case::new(name, got, &format!("{I386}{attack}"));
    let x32 = |name, got, attack: &str| Case::new(name, got, &format!("{X32}{attack}"));
    let child = |act: &str| {
        format!(
            "if os.fork() == 0:\n    try: {act}\n    except OSError as error: print(error); os._exit(1)\n    hold(); os._exit(0)\nos.wait()"
        )
    };
    let holds = |name, what, attack: &str| {
        Case::new(name, Got::Holds(what), &format!("try: fd = {attack}\nexcept OSError as error: lacks(error)\nhold()"))
    };
    vec![
        i386("i386-makes-a-file", Got::Made(&["work/mine"]), "fd = i386(5, b'mine\\0', 0o101, 0o644)"),
        i386("i386-namespace", Got::Namespaces, &child("i386(310, 0x10000000)")),
        i386("i386-clone", Got::Namespaces, "if i386(120, 0x10000011) == 0: hold(); os._exit(0)\nos.wait()"),
        i386("i386-set-user-id", Got::Made(&["work/mine"]), "put('m'); i386(15, b'm\\0', 0o4755); os.rename('m', 'mine')"),
        i386("i386-socket", Got::Socket("NETLINK"), "attempt(i386, 359, 16, 3, 15); low4 = struct.pack('<3I', 16, 3, 15); i386(102, 1, low4); hold()"),
        i386("i386-io-uring", Got::Holds("[io_uring]"), "i386(425, 4, bytes(120)); hold()"),
        i386("i386-perf", Got::Holds("[perf_event]"), "i386(336, struct.pack('<IIQ', 1, 112, 0) + bytes(24) + struct.pack('<Q', 0x61) + bytes(64), 0, -1, -1, 0); hold()"),
        i386("i386-from-a-thread", Got::Made(&["work/mine"]), "import threading; one = threading.Thread(target=lambda: i386(5, b'mine\\0', 0o101, 0o644)); one.start(); one.join()"),
        x32("x32-makes-a-file", Got::Made(&["work/mine"]), "x32(2, b'mine', 0o101, 0o644)"),
        x32("x32-namespace", Got::Namespaces, &child("x32(272, 0x10000000)")),
        x32("x32-unmarked", Got::Made(&["work/mine"]), "found = libc.syscall(ctypes.c_long(520), b'/usr/bin/touch', 0, 0)\nif found == -1: lacks(OSError(ctypes.get_errno(), 'x32'))"),
        Case::new("high-bits-in-the-number", Got::Namespaces, &child("
        found = machine(b'\\x48\\xb8' + struct.pack('<Q', 1 << 32 | 272) + b'\\xbf' + struct.pack('<I', 0x10000000) + b'\\x0f\\x05\\xc3')() if X86 else -38
        if found < 0: raise OSError(-found, 'unshare')"))
            .needing(&[]),
        holds("io-uring", "[io_uring]", "call('io_uring_setup', 4, ctypes.create_string_buffer(120))"),
        holds("perf", "[perf_event]", "call('perf_event_open', ctypes.create_string_buffer(struct.pack('<IIQ', 1, 112, 0) + bytes(24) + struct.pack('<Q', 0x61) + bytes(64)), 0, -1, -1, 0)"),
        holds("bpf", "bpf-map", "call('bpf', 0, ctypes.create_string_buffer(struct.pack('<4I', 2, 4, 4, 1), 72), 72)").by_root(),
        holds("user-faults", "[userfaultfd]", "call('userfaultfd', 1)"),
        holds("user-faults-by-the-device", "[userfaultfd]", "__import__('fcntl').ioctl(os.open('/dev/userfaultfd', os.O_RDWR), 0xaa00)").by_root(),
        holds("fanotify", "[fanotify]", "call('fanotify_init', 0x200, 0)"),
        holds("fanotify-of-root", "[fanotify]", "call('fanotify_init', 4, 0)").by_root(),
        holds("file-by-handle", "out/file", "call('open_by_handle_at', os.open(OUT, os.O_RDONLY), HANDLE, os.O_RDONLY)").by_root()
            .outside("buffer = ctypes.create_string_buffer(struct.pack('<Ii', 128, 0), 160); mount = ctypes.c_int()
assert libc.name_to_handle_at(-100, FILE.encode(), buffer, ctypes.byref(mount), 0) == 0
give(HANDLE=buffer.raw); wait()"),
        holds("mounts-made-apart", "/", "[call('fsconfig', fs, 6, 0, 0, 0), call('fsmount', fs, 0, 0)][1] if [fs := call('fsopen', b'tmpfs', 0)] else 0").by_root(),
    ]
}
