# What every attack starts with. Above this stand the names of the lab (WORK, OUT, ...), what the host's side gave, and `later.py`.
import errno, os, stat, sys, time

ctypes, socket, struct, libc = Later('ctypes'), Later('socket'), Later('struct'), Later('ctypes', library)
X86 = os.uname().machine == 'x86_64'
NUMBERS = {
    # name: (x86_64, aarch64)
    'ptrace': (101, 117), 'unshare': (272, 97), 'setns': (308, 268), 'clone': (56, 220), 'mount': (165, 40), 'umount2': (166, 39),
    'pivot_root': (155, 41), 'chroot': (161, 51), 'process_vm_readv': (310, 270), 'process_vm_writev': (311, 271), 'kcmp': (312, 272),
    'prlimit64': (302, 261), 'setpriority': (141, 140), 'ioprio_set': (251, 30), 'sched_setaffinity': (203, 122),
    'keyctl': (250, 219), 'add_key': (248, 217), 'request_key': (249, 218), 'perf_event_open': (298, 241), 'bpf': (321, 280),
    'userfaultfd': (323, 282), 'fanotify_init': (300, 262), 'open_by_handle_at': (304, 265), 'name_to_handle_at': (303, 264),
    'io_uring_setup': (425, 425), 'io_uring_enter': (426, 426), 'open_tree': (428, 428), 'move_mount': (429, 429), 'fsopen': (430, 430),
    'fsconfig': (431, 431), 'fsmount': (432, 432), 'pidfd_open': (434, 434), 'pidfd_send_signal': (424, 424), 'pidfd_getfd': (438, 438),
    'clone3': (435, 435), 'openat2': (437, 437), 'mount_setattr': (442, 442), 'fchmodat2': (452, 452), 'setxattrat': (463, 463),
    'tgkill': (234, 131), 'rt_sigqueueinfo': (129, 138), 'renameat2': (316, 276), 'execveat': (322, 281), 'memfd_create': (319, 279),
    'shmget': (29, 194), 'shmat': (30, 196), 'syslog': (103, 116), 'open_tree_attr': (467, 467), 'file_setattr': (469, 469), 'fchmod': (91, 52),
    'mknodat': (259, 33), 'openat': (257, 56), 'socket': (41, 198), 'ioctl': (16, 29), 'close_range': (436, 436), 'process_madvise': (440, 440),
}

def call(name, *words):
    """A system call by its name; the words are numbers of 64 bits, buffers, or bytes."""
    number = NUMBERS[name][0 if X86 else 1]
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
    found = libc.syscall(ctypes.c_long(number), *words)
    if found == -1:
        code = ctypes.get_errno()
        raise OSError(code, name + ': ' + os.strerror(code))
    return found

def attempt(act, *words):
    """Does it; says what came of it, and goes on."""
    try:
        found = act(*words)
        print('did', getattr(act, '__name__', act), *words[:2])
        return found
    except Exception as error:
        print('failed:', getattr(act, '__name__', act), *words[:2], error)

def put(path, flags=os.O_WRONLY | os.O_CREAT | os.O_APPEND):
    """Leaves the mark in a file."""
    fd = os.open(path, flags, 0o644)
    os.write(fd, MARK.encode())
    os.close(fd)

def cat(path):
    """Shows what is in a file."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    print('read', path, os.read(fd, 65536))
    os.close(fd)

def sh(script):
    os.system(script)

def pids():
    """All processes of a namespace of our own; among the host's, the case's own: strangers are left alone."""
    if os.readlink('/proc/self/ns/pid') != PROCESSES:
        return [int(name) for name in os.listdir('/proc') if name.isdigit()]
    near = [globals()[name] for name in ('PID', 'PARENT') if name in globals()]
    above = os.getpid()
    while above not in (0, 1, int(SUITE)):
        near.append(above)
        try: above = int(open('/proc/%d/stat' % above).read().rsplit(') ', 1)[1].split()[1])
        except OSError: break
    return near

def hold():
    """Stays, so that the host can look, until the host closes the input."""
    os.write(1, b'HOLD\n')
    while os.read(0, 4096):
        pass

def lacks(error):
    """The kernel, not the sandbox, has none of it: said outside, this ends the case."""
    if getattr(error, 'errno', None) in (errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.ESOCKTNOSUPPORT):
        print('LACKS', error)
    raise error

def machine(code):
    """Code of the machine as a function without arguments."""
    import mmap
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    run = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    run.page = page
    return run

for name in ('WORK', 'HOME', 'OUT', 'FILE', 'VAULT', 'SECRET', 'HIDDEN', 'MARK'):
    os.environ[name] = globals()[name]
print('BEGIN')
