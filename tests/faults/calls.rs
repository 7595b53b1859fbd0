//! Names of system calls, and what each may fail with.

use crate::ptrace::Entry;

/// Which errors a call is made to fail with, the likeliest first. Not those that are an answer: that a file is not there, or
/// may not be looked at, is what the caller asked.
type Row = (i64, &'static str, &'static [i32]);

macro_rules! rows {
    ($($call:ident $name:ident: $($errno:ident)*;)*) => { &[$((libc::$call, stringify!($name), &[$(libc::$errno),*])),*] };
}

/// A call that is not listed fails with these.
const OTHERS: &[i32] = &[libc::ENOMEM, libc::EPERM];

#[cfg(target_arch = "x86_64")]
const ROWS: &[Row] = rows! {
    // What a process does with its own memory has no other way out than its end.
    SYS_brk brk: ;
    SYS_mmap mmap: ;
    SYS_munmap munmap: ;
    SYS_mremap mremap: ;
    SYS_mprotect mprotect: ;
    SYS_madvise madvise: ;
    SYS_futex futex: ;
    SYS_arch_prctl arch_prctl: ;
    SYS_set_tid_address set_tid_address: ;
    SYS_set_robust_list set_robust_list: ;
    SYS_rseq rseq: ;
    SYS_rt_sigreturn rt_sigreturn: ;
    SYS_exit exit: ;
    SYS_exit_group exit_group: ;
    // They cannot fail; a descriptor is closed whatever the kernel says of it.
    SYS_close close: ;
    SYS_getpid getpid: ;
    SYS_getppid getppid: ;
    SYS_gettid gettid: ;
    SYS_getuid getuid: ;
    SYS_geteuid geteuid: ;
    SYS_getgid getgid: ;
    SYS_getegid getegid: ;
    SYS_getpgrp getpgrp: ;
    SYS_umask umask: ;
    SYS_sched_yield sched_yield: ;
    // Descriptors run out, memory runs out, disks break.
    SYS_open open: EMFILE ENOMEM EIO;
    SYS_openat openat: EMFILE ENOMEM EIO;
    SYS_openat2 openat2: EMFILE ENOMEM EAGAIN ENOSYS;
    SYS_open_tree open_tree: EMFILE ENOMEM EPERM ENOSYS;
    SYS_creat creat: EMFILE ENOSPC;
    SYS_dup dup: EMFILE;
    SYS_dup2 dup2: EBUSY EINTR;
    SYS_dup3 dup3: EBUSY EINTR;
    SYS_fcntl fcntl: EMFILE;
    SYS_close_range close_range: ENOMEM ENOSYS;
    SYS_memfd_create memfd_create: EMFILE ENOMEM ENOSYS;
    SYS_pipe2 pipe2: EMFILE;
    SYS_eventfd2 eventfd2: EMFILE;
    SYS_epoll_create1 epoll_create1: EMFILE;
    SYS_epoll_ctl epoll_ctl: ENOSPC ENOMEM;
    SYS_signalfd4 signalfd4: EMFILE ENOMEM;
    SYS_inotify_init1 inotify_init1: EMFILE;
    SYS_inotify_add_watch inotify_add_watch: ENOSPC ENOMEM;
    SYS_pidfd_open pidfd_open: EMFILE ENOSYS;
    SYS_read read: EIO EINTR;
    SYS_pread64 pread64: EIO EINTR;
    SYS_write write: ENOSPC EIO EINTR;
    SYS_getdents64 getdents64: EIO ENOMEM;
    SYS_lseek lseek: EIO;
    SYS_ftruncate ftruncate: EIO ENOSPC;
    SYS_readlink readlink: EIO ENOMEM;
    SYS_readlinkat readlinkat: EIO ENOMEM;
    SYS_stat stat: EIO ENOMEM;
    SYS_lstat lstat: EIO ENOMEM;
    SYS_fstat fstat: EIO ENOMEM;
    SYS_newfstatat newfstatat: EIO ENOMEM;
    SYS_statx statx: EIO ENOMEM;
    SYS_statfs statfs: EIO ENOMEM;
    SYS_fstatfs fstatfs: EIO ENOMEM;
    SYS_access access: EIO ENOMEM;
    SYS_faccessat faccessat: EIO ENOMEM;
    SYS_faccessat2 faccessat2: EIO ENOMEM;
    SYS_getxattr getxattr: EIO ENOMEM;
    SYS_mkdir mkdir: ENOSPC EDQUOT EIO;
    SYS_mkdirat mkdirat: ENOSPC EDQUOT EIO;
    SYS_unlinkat unlinkat: EIO EBUSY;
    SYS_rename rename: EIO ENOSPC;
    SYS_renameat2 renameat2: EIO ENOSPC;
    SYS_utimensat utimensat: EIO EPERM;
    SYS_fchmod fchmod: EIO EPERM;
    SYS_flock flock: ENOLCK EINTR;
    // Mounts and namespaces.
    SYS_mount mount: EPERM ENOMEM ENOSPC EINTR;
    SYS_umount2 umount2: EPERM ENOMEM;
    SYS_move_mount move_mount: EPERM ENOMEM ENOSPC;
    SYS_mount_setattr mount_setattr: EPERM ENOMEM ENOSYS;
    SYS_fsopen fsopen: EPERM EMFILE;
    SYS_fsmount fsmount: EPERM EMFILE;
    SYS_fsconfig fsconfig: EPERM ENOMEM;
    SYS_unshare unshare: EPERM ENOSPC;
    SYS_setns setns: EPERM ENOMEM;
    SYS_clone clone: EAGAIN ENOMEM EPERM;
    SYS_clone3 clone3: EAGAIN ENOMEM ENOSPC EPERM;
    SYS_execve execve: ENOMEM E2BIG EACCES;
    SYS_wait4 wait4: EINTR;
    SYS_kill kill: EPERM;
    SYS_pidfd_send_signal pidfd_send_signal: ENOSYS;
    SYS_poll poll: EINTR ENOMEM;
    SYS_ppoll ppoll: EINTR ENOMEM;
    SYS_epoll_wait epoll_wait: EINTR;
    SYS_nanosleep nanosleep: EINTR;
    SYS_clock_nanosleep clock_nanosleep: EINTR;
    SYS_getrandom getrandom: EINTR;
    // Confinement.
    SYS_prctl prctl: EPERM ENOMEM;
    SYS_seccomp seccomp: ENOMEM EPERM EBUSY;
    SYS_capset capset: EPERM;
    SYS_capget capget: EPERM;
    SYS_landlock_create_ruleset landlock_create_ruleset: EMFILE ENOMEM;
    SYS_landlock_add_rule landlock_add_rule: ENOMEM;
    SYS_landlock_restrict_self landlock_restrict_self: E2BIG ENOMEM EPERM;
    SYS_setrlimit setrlimit: EPERM;
    SYS_prlimit64 prlimit64: EPERM;
    SYS_chdir chdir: EIO ENOMEM;
    SYS_fchdir fchdir: EIO ENOMEM;
    SYS_pivot_root pivot_root: EPERM;
    SYS_setsid setsid: EPERM;
    SYS_setpgid setpgid: EPERM EACCES;
    SYS_setuid setuid: EPERM EAGAIN;
    SYS_setgid setgid: EPERM;
    SYS_setgroups setgroups: EPERM ENOMEM;
    SYS_setfsuid setfsuid: ;
    SYS_getgroups getgroups: EPERM;
    SYS_getresuid getresuid: ;
    SYS_sigaltstack sigaltstack: ENOMEM;
    SYS_rt_sigaction rt_sigaction: ;
    SYS_rt_sigprocmask rt_sigprocmask: ;
    SYS_ioctl ioctl: EPERM EIO;
    SYS_getcwd getcwd: ENOMEM;
    SYS_uname uname: ;
    SYS_sysinfo sysinfo: ;
    // Sockets.
    SYS_socket socket: EMFILE ENOBUFS EPERM;
    SYS_socketpair socketpair: EMFILE ENOMEM;
    SYS_bind bind: EADDRINUSE ENOMEM;
    SYS_listen listen: EADDRINUSE;
    SYS_connect connect: ENOMEM EINTR;
    SYS_accept4 accept4: EMFILE;
    SYS_getsockname getsockname: ENOBUFS;
    SYS_getsockopt getsockopt: ENOMEM;
    SYS_setsockopt setsockopt: ENOMEM EPERM;
    SYS_sendmsg sendmsg: ENOBUFS EINTR;
    SYS_sendto sendto: ENOBUFS EINTR;
    SYS_recvmsg recvmsg: ENOMEM EINTR;
    SYS_recvfrom recvfrom: ENOMEM EINTR;
};

#[cfg(not(target_arch = "x86_64"))]
const ROWS: &[Row] = &[];

fn row(call: i64) -> Option<&'static Row> {
    ROWS.iter().find(|(number, ..)| *number == call)
}

pub fn name(call: i64) -> String {
    row(call).map_or_else(|| format!("call {call}"), |(_, name, _)| (*name).to_owned())
}

/// What a call may fail with.
pub fn errors(call: i64, entry: &Entry) -> &'static [i32] {
    // Debug builds of the standard library look whether a descriptor that they close is open.
    let looks = call == libc::SYS_fcntl && entry.arguments[1] == u64::from(libc::F_GETFD.cast_unsigned());
    // To be told a limit cannot fail.
    let asks = call == libc::SYS_prlimit64 && entry.arguments[2] == 0;
    if looks || asks { &[] } else { row(call).map_or(OTHERS, |(.., errors)| errors) }
}

/// Whether a call does something that anybody else could notice: to kill before one that only looks is to kill before the
/// next one that does not.
pub fn is_step(call: i64, entry: &Entry) -> bool {
    const LOOKS: &[&str] = &[
        "fcntl",
        "lseek",
        "read",
        "pread64",
        "getdents64",
        "readlink",
        "readlinkat",
        "stat",
        "lstat",
        "fstat",
        "newfstatat",
        "statx",
        "statfs",
        "fstatfs",
        "access",
        "faccessat",
        "faccessat2",
        "getxattr",
        "close",
        "landlock_add_rule",
        "getcwd",
        "getgroups",
        "getsockname",
        "getsockopt",
        "capget",
        "rt_sigaction",
        "sigaltstack",
        "getrandom",
        "uname",
        "sysinfo",
        "getresuid",
    ];
    let opens = match call {
        libc::SYS_openat => Some(entry.arguments[2]),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => Some(entry.arguments[1]),
        libc::SYS_openat2 => Some(0),
        _ => None,
    };
    let changes = u64::from((libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT).cast_unsigned());
    match opens {
        Some(flags) => flags & changes != 0,
        None => !LOOKS.contains(&name(call).as_str()) && row(call).is_none_or(|(.., errors)| !errors.is_empty()),
    }
}

pub fn error_name(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string().split(" (os").next().unwrap_or_default().to_owned()
}
