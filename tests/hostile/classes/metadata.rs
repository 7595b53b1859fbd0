//! What programs of the host run code from later: git's metadata, and what agents and editors read. The host's git is run
//! in the workspace afterwards, and must not run what was planted.

use crate::case::{Case, Engine, Got};

/// A repository in the workspace; `before` and `wher` are scripts of the host before the attack and after it.
const REPOSITORY: &str = r#"
os.makedirs(HOME + '/template/hooks')
os.environ.update(HOME=HOME, OUT=OUT, WORK=WORK, GIT_CONFIG_NOSYSTEM='1', GIT_TEMPLATE_DIR=HOME + '/template')
def sh(script): os.system('exec >/dev/null 2>&1; ' + script)
open(HOME + '/.gitconfig', 'w').write('[user]\nname = n\nemail = e@example.org\n[init]\ndefaultBranch = main\n[maintenance]\nauto = false\n')
os.chdir(WORK)
"#;

const MAKE: &str = "sh('git init -q . && echo 1 > f && git add f && git commit -qm first')\n";

const USE: &str = "\nwait()
for directory in WHERE:
    sh('cd ' + directory + ' && { git status; git commit -q --allow-empty -am again; git checkout -q -b other; }')
if os.path.exists(OUT + '/planted'): got('git ran what was planted')";

/// The program to be run by the host.
const PLANT: &str = "def plant(path):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    open(path, 'w').write('#!/bin/sh\\necho x >> %s/planted\\n' % OUT)
    os.chmod(path, 0o755)
def setting(path, line='fsmonitor = %s/fsm' % WORK):
    plant('fsm')
    open(path, 'a').write('[core]\\n\\t' + line + '\\n')
def evil(path):
    for name in ('objects', 'refs/heads'): os.makedirs(path + '/' + name, exist_ok=True)
    open(path + '/HEAD', 'w').write('ref: refs/heads/main\\n')
    setting(path + '/config', 'repositoryformatversion = 0\\n\\tbare = false\\n\\tfsmonitor = %s/fsm' % WORK)
";

fn git(name: &'static str, attack: &str) -> Case {
    git_at(name, MAKE, "'.'", attack)
}

/// With another scene than a plain repository.
fn git_at(name: &'static str, before: &str, places: &str, attack: &str) -> Case {
    let host = format!("{REPOSITORY}{before}{}", USE.replace("WHERE", &format!("[{places}]")));
    Case::new(name, Got::Outside, &format!("{PLANT}{attack}")).outside(&host).may_refuse()
}

fn made(name: &'static str, paths: &'static [&'static str], attack: &str) -> Case {
    Case::new(name, Got::Made(paths), attack).may_refuse()
}

pub fn cases() -> Vec<Case> {
    let nested = format!("{MAKE}sh('git init -q sub && cd sub && echo 1 > f && git add f && git commit -qm first')\n");
    let submodule = format!(
        "{MAKE}sh('git init -q $OUT/lib && cd $OUT/lib && echo 1 > f && git add f && git commit -qm first')\nsh('git -c protocol.file.allow=always submodule add $OUT/lib sub && git commit -qm sub')\n"
    );
    let separate = "sh('git init -q --separate-git-dir gd . && echo 1 > f && git add f && git commit -qm first')\n";
    let nested_separate = format!(
        "{MAKE}sh('git init -q --separate-git-dir gd sub && cd sub && echo 1 > f && git add f && git commit -qm first')\n"
    );
    let worktree = "sh('git init -q $OUT/main && cd $OUT/main && echo 1 > f && git add f && git commit -qm first && rm -rf $WORK/conf && git worktree add -b x $WORK')\nos.chdir(WORK)\n";
    let linked = format!("{MAKE}os.rename('.git', 'real'); os.symlink('real', '.git')\n");
    let hooks_path = format!("{MAKE}sh('git config core.hooksPath .githooks')\n");
    let hooks_there = format!("{MAKE}sh('mkdir .githooks; git config core.hooksPath .githooks')\n");
    let included = format!("{MAKE}sh('touch inc; git config include.path ../inc')\n");
    let included_twice =
        format!("{MAKE}sh('touch inc2; git config -f inc include.path inc2; git config include.path ../inc')\n");
    let include_missing = format!("{MAKE}sh('git config include.path ../inc')\n");
    let include_of_user = format!("{MAKE}sh('touch inc; git config --global include.path $WORK/inc')\n");
    let monitor = format!("{MAKE}sh('echo true > fsm; chmod +x fsm; git config core.fsmonitor ./fsm')\n");
    let attributes =
        format!("{MAKE}sh('touch attrs; git config core.attributesFile attrs; git config filter.x.clean ./clean')\n");
    vec![
        git("hook", "plant('.git/hooks/pre-commit')"),
        git("hook-by-link", "plant('h/pre-commit'); os.symlink('../../h/pre-commit', '.git/hooks/pre-commit')"),
        git("hooks-directory-replaced", "plant('h/pre-commit'); os.rename('.git/hooks', 'old'); os.rename('h', '.git/hooks')"),
        git("hook-of-git-commit", "plant('.git/hooks/pre-commit'); plant('.git/hooks/post-checkout')").with(&["--git", "commit"]),
        git("config-of-git-commit", "setting('.git/config')").with(&["--git", "commit"]),
        git("config-worktree-of-git-commit", "setting('.git/config.worktree')").with(&["--git", "commit"])
            .outside(&format!("{REPOSITORY}{MAKE}sh('git config extensions.worktreeConfig true'){}", USE.replace("WHERE", "'.',"))),
        git("common-directory-of-git-commit", "evil('ev'); import shutil\nfor name in ('objects', 'refs'): shutil.rmtree('ev/' + name); shutil.copytree('.git/' + name, 'ev/' + name)\nopen('.git/commondir', 'w').write('../ev\\n')").with(&["--git", "commit"]),
        git("config", "setting('.git/config')"),
        git("config-renamed-over", "import shutil; shutil.copy('.git/config', 'c'); setting('c'); os.rename('c', '.git/config')"),
        git("config-by-a-hard-link", "os.link('.git/config', 'c'); setting('c')"),
        git("config-by-a-descriptor", "plant('fsm'); fd = os.open('.git/config', os.O_RDONLY); fd = os.open('/proc/self/fd/%d' % fd, os.O_WRONLY | os.O_APPEND); os.write(fd, b'[core]\\n\\tfsmonitor = %s/fsm\\n' % WORK.encode())"),
        git("config-lock", "import shutil; shutil.copy('.git/config', 'c'); setting('c'); os.link('c', '.git/config.lock'); os.rename('.git/config.lock', '.git/config')"),
        git("by-git-itself", "plant('fsm'); sh('git config core.fsmonitor $WORK/fsm')"),
        git("directory-renamed", "os.rename('.git', 'old'); sh('cp -r old .git'); plant('.git/hooks/pre-commit')"),
        git("directory-exchanged", "sh('cp -r .git mine'); plant('mine/hooks/pre-commit'); call('renameat2', -100, b'mine', -100, b'.git', 2)"),
        git("directory-exchanged-from-elsewhere", "os.mkdir('d'); sh('cp -r .git d/mine'); plant('d/mine/hooks/pre-commit'); fd = os.open('d', os.O_RDONLY); call('renameat2', fd, b'mine', -100, WORK.encode() + b'/.git', 2)"),
        git("removed-and-made", "sh('rm -rf .git; git init -q .; git add f; git commit -qm x'); plant('.git/hooks/pre-commit')"),
        git("mode-of-a-hook-that-sleeps", "os.chmod('.git/hooks/pre-commit', 0o755)")
            .outside(&format!("{REPOSITORY}{MAKE}open('.git/hooks/pre-commit', 'w').write('#!/bin/sh\\necho x >> %s/planted\\n' % OUT); os.chmod('.git/hooks/pre-commit', 0o644)\n{}", USE.replace("WHERE", "'.',"))),
        git_at("none-and-one-is-made", "", "'.'", "evil('.git')"),
        git_at("none-and-a-pointer-is-made", "", "'.'", "evil('ev'); open('.git', 'w').write('gitdir: ev\\n')"),
        git_at("none-and-a-link-is-made", "", "'.'", "evil('ev'); os.symlink('ev', '.git')"),
        git_at("none-and-one-is-renamed-there", "", "'.'", "evil('ev'); os.rename('ev', '.git')"),
        git_at("none-and-the-workspace-is-emptied", "", "'.'", "[attempt(os.rmdir, n) for n in os.listdir('.')]; [attempt(os.rename, n, 'x' + n) for n in os.listdir('.')]; evil('.git')"),
        git_at("nested", &nested, "'sub'", "plant('sub/.git/hooks/pre-commit')"),
        git_at("nested-renamed", &nested, "'sub'", "os.rename('sub', 'old'); sh('cp -r old sub'); plant('sub/.git/hooks/pre-commit')"),
        git_at("nested-parent-renamed", "sh('mkdir -p a/b && git init -q a/b/sub && cd a/b/sub && echo 1 > f && git add f && git commit -qm first')\n", "'a/b/sub'", "os.rename('a', 'old'); sh('cp -r old a'); plant('a/b/sub/.git/hooks/pre-commit')"),
        git_at("nested-pointer", &nested_separate, "'sub'", "setting('gd/config')"),
        git_at("nested-pointer-changed", &nested_separate, "'sub'", "evil('ev'); attempt(os.unlink, 'sub/.git'); open('sub/.git', 'w').write('gitdir: ../ev\\n')"),
        git_at("submodule", &submodule, "'sub', '.'", "setting('.git/modules/sub/config')"),
        git_at("submodule-pointer", &submodule, "'sub', '.'", "evil('ev'); attempt(os.unlink, 'sub/.git'); open('sub/.git', 'w').write('gitdir: ../ev\\n')"),
        git_at("pointer-target", separate, "'.'", "setting('gd/config')"),
        git_at("pointer-target-hook", separate, "'.'", "plant('gd/hooks/pre-commit')"),
        git_at("pointer-changed", separate, "'.'", "evil('ev'); attempt(os.unlink, '.git'); open('.git', 'w').write('gitdir: ev\\n')"),
        git_at("pointer-target-renamed", separate, "'.'", "os.rename('gd', 'old'); sh('cp -r old gd'); plant('gd/hooks/pre-commit')"),
        git_at("worktree-pointer", worktree, "'.'", "evil('ev'); attempt(os.unlink, '.git'); open('.git', 'w').write('gitdir: ev\\n')"),
        git_at("worktree-hooks-of-the-main-one", worktree, "'.'", "plant(OUT + '/main/.git/hooks/pre-commit')"),
        git_at("worktree-hooks-of-the-main-one-of-git-commit", worktree, "'.'", "plant(OUT + '/main/.git/hooks/pre-commit'); setting(OUT + '/main/.git/config')").with(&["--git", "commit"]),
        git_at("linked-target", &linked, "'.'", "plant('real/hooks/pre-commit')"),
        git_at("link-changed", &linked, "'.'", "evil('ev'); os.unlink('.git'); os.symlink('ev', '.git')"),
        git_at("hooks-path-that-is-missing", &hooks_path, "'.'", "plant('.githooks/pre-commit')"),
        git_at("hooks-path-that-is-there", &hooks_there, "'.'", "plant('.githooks/pre-commit')"),
        git_at("hooks-path-renamed", &hooks_there, "'.'", "attempt(os.rename, '.githooks', 'old'); plant('mine/pre-commit'); os.rename('mine', '.githooks')"),
        git_at("included-config", &included, "'.'", "setting('inc')"),
        git_at("included-config-of-the-included", &included_twice, "'.'", "setting('inc2')"),
        git_at("included-config-that-is-missing", &include_missing, "'.'", "setting('inc')"),
        git_at("included-config-of-the-user", &include_of_user, "'.'", "setting('inc')"),
        git_at("hooks-path-of-the-user", &format!("{MAKE}sh('git config --global core.hooksPath .githooks')\n"), "'.'", "plant('.githooks/pre-commit')"),
        git_at("hooks-path-of-the-user-elsewhere", &format!("os.environ['XDG_CONFIG_HOME'] = OUT + '/xdg'\n{MAKE}sh('mkdir -p $OUT/xdg/git; git config -f $OUT/xdg/git/config core.hooksPath .githooks')\n"), "'.'", "plant('.githooks/pre-commit')")
            .env(&[("XDG_CONFIG_HOME", "@OUT/xdg")]),
        git_at("monitor-in-the-workspace", &monitor, "'.'", "plant('fsm')"),
        git_at("attributes-file", &attributes, "'.'", "plant('clean'); open('attrs', 'w').write('* filter=x\\n'); open('f', 'a').write('x')"),
        git_at("new-bare-repository", MAKE, "'docs'", "evil('docs'); text = open('docs/config').read().replace('bare = false', 'bare = false\\n\\tworktree = %s/docs' % WORK); open('docs/config', 'w').write(text)")
            .unpromised(&[Engine::Native, Engine::Bwrap], "a command can make a new repository below the workspace, and git uses its configuration when you change into it"),
        made("codex", &["work/.codex/config.toml", "work/.agents/x"], "for n in ('.codex', '.agents'): attempt(os.mkdir, n)\nattempt(put, '.codex/config.toml'); attempt(put, '.agents/x')"),
        made("claude", &["work/.claude/settings.json", "work/.mcp.json"], "attempt(put, '.mcp.json'); os.mkdir('.claude'); put('.claude/settings.json')"),
        made("editors", &["work/.vscode/tasks.json", "work/.idea/x"], "for n in ('.vscode', '.idea'): attempt(os.mkdir, n)\nattempt(put, '.vscode/tasks.json'); attempt(put, '.idea/x')"),
        made("policy-of-the-next-run", &["work/ringfence.toml"], "put('ringfence.toml')"),
        made("renamed-there", &["work/.vscode/tasks.json"], "os.mkdir('v'); put('v/tasks.json'); os.rename('v', '.vscode')"),
        made("linked-there", &["work/.mcp.json"], "put('v'); os.link('v', '.mcp.json')"),
        made("set-user-id", &["work/mine"], "put('mine0'); os.chmod('mine0', 0o4755); os.rename('mine0', 'mine')"),
        made("set-group-id-at-birth", &["work/mine"], "os.close(os.open('mine0', os.O_CREAT | os.O_WRONLY, 0o2755)); os.rename('mine0', 'mine') if os.stat('mine0').st_mode & 0o2000 else 0"),
        made("set-user-id-of-a-directory", &["work/mine"], "os.mkdir('d', 0o755); attempt(os.chmod, 'd', 0o6777); os.rename('d', 'mine') if os.stat('d').st_mode & 0o6000 else 0"),
        made("set-user-id-of-a-nameless-file", &["work/mine"], "fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o4755)
if os.fstat(fd).st_mode & 0o4000: libc.linkat(-100, b'/proc/self/fd/%d' % fd, -100, b'mine', 0x400)"),
        made("capabilities-of-a-file", &["work/mine"], "put('mine0'); os.setxattr('mine0', 'security.capability', struct.pack('<5I', 0x02000001, 0x3fffff, 0, 0, 0)); os.rename('mine0', 'mine')").by_root(),
        Case::new("set-user-id-with-high-bits", Got::Made(&["work/mine"]), "fd = os.open('mine0', os.O_CREAT | os.O_WRONLY)
for mode in (0o104755, 1 << 16 | 0o4755, 1 << 32 | 0o4755, 1 << 63 | 0o4755):
    attempt(call, 'fchmod', fd, mode - (1 << 64) if mode >> 63 else mode)
attempt(call, 'openat', -100, b'mine1', os.O_CREAT | os.O_WRONLY | 1 << 40, 0o104755 | 1 << 33); attempt(call, 'fchmodat2', -100, b'mine0', 0o104755, 0)
how = ctypes.create_string_buffer(struct.pack('<3Q', os.O_CREAT | os.O_WRONLY, 0o4755, 0)); attempt(call, 'openat2', -100, b'mine2', how, 24)
attempt(call, 'mknodat', -100, b'mine3', 0o104755 | 1 << 34, 0)
for n in range(4):
    if os.path.exists('mine%d' % n) and os.stat('mine%d' % n).st_mode & 0o4000: os.rename('mine%d' % n, 'mine')"),
        made("device-node", &["work/mine"], "os.mknod('mine', 0o20666, os.makedev(1, 3))").by_root(),
        made("device-node-with-high-bits", &["work/mine"], "call('mknodat', -100, b'mine', 0o20666 | 1 << 16 | 1 << 35, os.makedev(1, 3))").by_root(),
        made("whiteout", &["work/mine"], "put('x'); call('renameat2', -100, b'x', -100, b'y', 4); os.rename('x', 'mine')").by_root(),
    ]
}
