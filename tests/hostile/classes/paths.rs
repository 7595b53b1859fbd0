//! Ways to a file outside by its path, for writing.

use crate::case::{Case, Engine, Got};

const ATTRIBUTES: &str = "It knows no right for mode, owner, times, extended attributes and flags (`chattr`): those of the \
                          caller's own files can be changed everywhere";

pub fn cases() -> Vec<Case> {
    let changes = |name, attack| Case::new(name, Got::Changed, attack);
    vec![
        changes("make-a-file", "put(OUT + '/new')"),
        changes("append", "put(FILE)"),
        changes("dotfile-in-home", "put(HOME + '/.bashrc')"),
        changes("dot-dot", "put('../out/new')"),
        changes("dot-dot-through-a-link", "os.mkdir('d'); os.symlink(OUT, 'd/link'); attempt(put, 'd/link/../out/file'); put('d/link/new')"),
        changes("link-to-a-file", "os.symlink(FILE, 'link'); put('link')"),
        changes("link-to-a-missing-file", "os.symlink(OUT + '/new', 'link'); put('link')"),
        changes("many-links", "os.symlink(OUT, 'l0')\nfor n in range(1, 30): os.symlink('l%d' % (n - 1), 'l%d' % n)\nput('l29/new')"),
        changes("hard-link-in", "os.link(FILE, 'link'); put('link')"),
        changes("hard-link-by-descriptor", "fd = os.open(FILE, os.O_PATH)
attempt(lambda: libc.linkat(-100, b'/proc/self/fd/%d' % fd, -100, b'link', 0x400) and None)
put('link', os.O_WRONLY | os.O_APPEND)"),
        changes("hard-link-out", "put('mine'); os.link('mine', OUT + '/new')"),
        changes("rename-out", "put('mine'); os.rename('mine', OUT + '/new')"),
        changes("rename-over", "put('mine'); os.rename('mine', FILE)"),
        changes("rename-in", "os.rename(FILE, 'mine')"),
        changes("rename-a-directory-in", "os.rename(OUT, 'mine'); put('mine/new')"),
        changes("exchange", "put('mine'); call('renameat2', -100, b'mine', -100, FILE.encode(), 2)"),
        changes("exchange-directories", "os.mkdir('mine'); call('renameat2', -100, b'mine', -100, OUT.encode(), 2)"),
        changes("rename-the-workspace", "os.rename(WORK, OUT + '/work'); os.mkdir(OUT + '/x')"),
        changes("unlink", "os.unlink(FILE)"),
        changes("rmdir", "os.rmdir(HOME)"),
        changes("mkdir", "os.mkdir(OUT + '/new')"),
        changes("symlink", "os.symlink('x', OUT + '/new')"),
        changes("fifo", "os.mkfifo(OUT + '/new')"),
        changes("socket-file", "socket.socket(socket.AF_UNIX).bind(OUT + '/new')"),
        changes("truncate", "os.truncate(FILE, 0)"),
        changes("truncate-by-open-for-reading", "os.open(FILE, os.O_RDONLY | os.O_TRUNC)"),
        changes("open-for-both", "put(FILE, os.O_RDWR)"),
        changes("nameless-file-linked-out", "fd = os.open(WORK, os.O_TMPFILE | os.O_RDWR, 0o644); os.write(fd, MARK.encode())
assert libc.linkat(-100, b'/proc/self/fd/%d' % fd, -100, (OUT + '/new').encode(), 0x400) == 0"),
        changes("nameless-file-outside", "fd = os.open(OUT, os.O_TMPFILE | os.O_RDWR, 0o644)
assert libc.linkat(-100, b'/proc/self/fd/%d' % fd, -100, (OUT + '/new').encode(), 0x400) == 0"),
        changes("shared-mapping", "import mmap
for flags in (os.O_RDWR, os.O_RDONLY):
    def act(flags):
        with mmap.mmap(os.open(FILE, flags), 9, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as page: page[:4] = MARK[:4].encode()
    attempt(act, flags)"),
        changes("mapping-made-writable", "libc.mmap.restype = ctypes.c_void_p
at = libc.mmap(None, 4096, 1, 1, os.open(FILE, os.O_RDONLY), 0)
def act():
    if libc.mprotect(ctypes.c_void_p(at), 4096, 3): raise OSError(ctypes.get_errno(), 'mprotect')
    ctypes.memmove(at, MARK.encode(), 4)
attempt(act); attempt(put, FILE)"),
        changes("path-longer-than-the-kernel-takes", "for n in range(30): os.mkdir('d' * 200); os.chdir('d' * 200)
os.symlink(OUT, 'link'); put('link/new')"),
        changes("from-a-moved-directory", "os.makedirs('a/b'); fd = os.open('a/b', os.O_RDONLY); os.rename('a/b', 'b')
os.fchdir(fd); put('../../out/new')"),
        changes("from-a-removed-directory", "os.mkdir('a'); os.chdir('a'); os.rmdir('../a'); attempt(put, '../../out/new'); put(OUT + '/new')"),
        changes("not-utf-8", "put(os.fsencode(OUT) + b'/\\xff\\xfe')"),
        changes("by-proc-root", "attempt(put, '/proc/self/root' + FILE); attempt(put, '/proc/thread-self/root' + FILE); put('/proc/self/cwd/../out/file')"),
        changes("copy-by-the-kernel", "put('mine'); out = os.open(FILE, os.O_WRONLY); os.copy_file_range(os.open('mine', os.O_RDONLY), out, 4)"),
        changes("through-a-child-of-another-group", "os.fork() or (os.setsid(), put(OUT + '/new')); os.wait()"),
        changes("mode", "os.chmod(FILE, 0o777)").unpromised(&[Engine::Landlock], ATTRIBUTES),
        changes("mode-by-descriptor", "os.fchmod(os.open(FILE, os.O_RDONLY), 0o777)").unpromised(&[Engine::Landlock], ATTRIBUTES),
        changes("mode-of-a-link", "os.symlink(FILE, 'l'); attempt(call, 'fchmodat2', -100, b'l', 0o777, 0); os.chmod('l', 0o777)")
            .unpromised(&[Engine::Landlock], ATTRIBUTES),
        changes("owner", "os.chown(FILE, 12345, 12345)").by_root(),
        changes("times", "os.utime(FILE, (1, 1))").unpromised(&[Engine::Landlock], ATTRIBUTES),
        changes("extended-attribute", "os.setxattr(FILE, 'user.hostile', b'x')").unpromised(&[Engine::Landlock], ATTRIBUTES),
        changes("access-list", "os.setxattr(FILE, 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *e) for e in ((1, 7, 0xffffffff), (2, 7, 4242), (4, 7, 0xffffffff), (16, 7, 0xffffffff), (32, 7, 0xffffffff))))")
            .unpromised(&[Engine::Landlock], ATTRIBUTES),
    ]
}
