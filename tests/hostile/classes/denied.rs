//! Ways to what is hidden.

use crate::case::{Case, Engine, Got};

pub fn cases() -> Vec<Case> {
    let told = |name, attack: &str| Case::new(name, Got::Told, attack).denying();
    let inside = |name, attack: &str| Case::new(name, Got::Told, attack).denying_inside();
    vec![
        told("directly", "cat(SECRET)"),
        inside("in-the-workspace", "cat('conf/private/key')"),
        told("by-a-link", "os.symlink(VAULT, 'link'); cat('link/secret')"),
        told("by-a-link-that-was-there", "cat(OUT + '/link/secret')").outside("os.symlink(VAULT, OUT + '/link'); wait()"),
        told("by-dot-dot", "cat('../out/../vault/./secret')"),
        told("by-proc-root", "attempt(cat, '/proc/self/root' + SECRET); attempt(cat, '/proc/self/cwd/../vault/secret'); attempt(cat, '/proc/1/root' + SECRET); cat('/proc/%d/root%s' % (os.getppid(), SECRET))"),
        told("by-a-hard-link", "os.link(SECRET, 'link'); cat('link')"),
        inside("by-a-hard-link-in-the-workspace", "os.link('conf/private/key', 'link'); cat('link')"),
        told("by-renaming-it", "attempt(os.rename, VAULT, 'mine'); attempt(cat, 'mine/secret'); attempt(os.rename, SECRET, 'mine'); cat('mine')"),
        inside("by-renaming-what-is-above", "os.rename('conf', 'other'); cat('other/private/key')"),
        inside("by-exchanging-what-is-above", "os.mkdir('other'); call('renameat2', -100, b'conf', -100, b'other', 2); cat('other/private/key')"),
        inside("by-moving-it-away-inside", "os.rename('conf/private', 'open'); cat('open/key')"),
        inside("by-changing-modes", "os.chmod('conf/private', 0o755); os.chmod('conf/private/key', 0o644); cat('conf/private/key')"),
        told("by-a-bare-path", "fd = os.open(SECRET, os.O_PATH); attempt(cat, '/proc/self/fd/%d' % fd); print(os.read(os.open('/dev/fd/%d' % fd, 0), 99))"),
        told("by-a-bare-path-of-the-directory", "fd = os.open(VAULT, os.O_PATH); print(os.read(os.open('secret', os.O_RDONLY, dir_fd=fd), 99))"),
        told("by-running-it", "os.execv(SECRET, ['x'])").outside("os.chmod(SECRET, 0o755); open(SECRET, 'w').write('#!/bin/echo ' + TOKEN + '\\n'); wait()"),
        told("by-the-interpreter-line", "open('x', 'w').write('#!/bin/cat ' + SECRET + '\\n'); os.chmod('x', 0o755); os.execv('./x', ['x'])"),
        told("by-another-program", "sh('cp $SECRET copy; dd if=$SECRET of=copy2 status=none; tar cf t.tar -C / ${SECRET#/}')"),
        told("by-a-library-path", "os.environ['LD_PRELOAD'] = SECRET; sh('true'); sh('. $SECRET'); sh('sh $SECRET')").outside("open(SECRET, 'w').write('echo ' + TOKEN + '\\n'); wait()"),
        told("by-a-copy-in-the-kernel", "out = os.open('copy', os.O_WRONLY | os.O_CREAT); os.sendfile(out, os.open(SECRET, os.O_RDONLY), 0, 99)"),
        told("by-a-handle", "kind, data = HANDLE
buffer = ctypes.create_string_buffer(struct.pack('<Ii', len(data), kind) + data)
for path in ('/', WORK, OUT):
    def act(path): print(os.read(call('open_by_handle_at', os.open(path, os.O_RDONLY), buffer, os.O_RDONLY), 99))
    attempt(act, path)")
            .by_root()
            .outside("buffer = ctypes.create_string_buffer(struct.pack('<Ii', 128, 0), 160); mount = ctypes.c_int()
assert libc.name_to_handle_at(-100, SECRET.encode(), buffer, ctypes.byref(mount), 0) == 0, 'no handle'
size, kind = struct.unpack('<Ii', buffer.raw[:8]); give(HANDLE=(kind, buffer.raw[8:8 + size])); wait()"),
        told("not-utf-8", "cat(os.fsencode(OUT) + b'/\\xff\\xfe')")
            .outside("open(os.fsencode(OUT) + b'/\\xff\\xfe', 'w').write(TOKEN); wait()")
            .by("shift_at=; args=(); for a in \"$@\"; do [ \"$a\" = -- ] && [ -z \"$shift_at\" ] && args+=(--deny $'@OUT/\\xff\\xfe') && shift_at=1; args+=(\"$a\"); done; case \"$1\" in *ringfence) exec \"${args[@]}\";; *) exec \"$@\";; esac"),
        told("a-newline-in-its-name", "cat(OUT + '/a\\nb')")
            .outside("open(OUT + '/a\\nb', 'w').write(TOKEN); wait()")
            .with(&["--deny", "@OUT/a\nb"]),
        told("by-a-glob", "cat(OUT + '/deep/er/x.key')")
            .outside("os.makedirs(OUT + '/deep/er'); open(OUT + '/deep/er/x.key', 'w').write(TOKEN); wait()")
            .with(&["--deny", "@OUT/**/*.key"]),
        told("a-link-that-is-denied-hides-what-it-leads-to", "attempt(cat, OUT + '/link'); cat(OUT + '/real')")
            .outside("open(OUT + '/real', 'w').write(TOKEN); os.symlink('real', OUT + '/link'); wait()")
            .with(&["--deny", "@OUT/link"]),
        inside("replaced-meanwhile", "time.sleep(0.8); cat('conf/private/key')")
            .by("(sleep 0.3; mkdir @WORK/new; echo @TOKEN > @WORK/new/key; mv @WORK/conf/private @WORK/old && mv @WORK/new @WORK/conf/private; rm -r @WORK/old) 2>/dev/null & exec \"$@\""),
        told("credentials-in-home", "attempt(cat, HOME + '/.ssh/id'); attempt(cat, HOME + '/.netrc'); attempt(cat, HOME + '/.config/gh/hosts.yml')")
            .outside("for name in ('.ssh/id', '.netrc', '.config/gh/hosts.yml'):
    os.makedirs(os.path.dirname(HOME + '/' + name), exist_ok=True); open(HOME + '/' + name, 'w').write(TOKEN)
wait()"),
        told("credentials-behind-a-link-in-home", "cat(OUT + '/keys/id')")
            .outside("os.makedirs(OUT + '/keys'); open(OUT + '/keys/id', 'w').write(TOKEN); os.symlink(OUT + '/keys', HOME + '/.ssh'); wait()"),
        told("files-of-the-host-in-tmp", "cat(NAME)").outside("import tempfile\none = tempfile.NamedTemporaryFile('w', dir='/tmp'); one.write(TOKEN); one.flush(); give(NAME=one.name); wait()"),
        told("files-of-the-host-in-shared-memory", "cat(NAME)").outside("import tempfile\none = tempfile.NamedTemporaryFile('w', dir='/dev/shm'); one.write(TOKEN); one.flush(); give(NAME=one.name); wait()"),
        told("its-attributes", "print(os.getxattr(SECRET, 'user.note'))")
            .outside("os.setxattr(SECRET, 'user.note', TOKEN.encode()); wait()")
            .unpromised(&[Engine::Landlock], "its attributes, extended ones included"),
        told("where-a-hidden-link-leads", "print(os.readlink(VAULT + '/link'))")
            .outside("os.symlink(TOKEN, VAULT + '/link'); wait()")
            .unpromised(&[Engine::Landlock], "where a link leads"),
        told("names-in-a-hidden-directory", "print(os.listdir(VAULT))").outside("open(VAULT + '/' + TOKEN, 'w'); wait()"),
    ]
}
