//! The list itself. A row gets its name and its number from one identifier, so they cannot differ.

use super::{Action, Compare, Lift, Row, Test};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!(
    "the system call table is checked for x86_64 and aarch64 only; for another architecture, go through every row: \
     numbers, which argument of clone holds the flags, and whether there is a second ABI with numbers of its own"
);

/// Call numbers: those of libc, and the few that it lacks on one of our targets.
mod numbers {
    #![allow(non_upper_case_globals, reason = "named as libc names them")]
    pub(super) use libc::*;

    // Since Linux 5.1 new calls have the same number on every architecture.
    pub(super) const SYS_fchmodat2: c_long = 452;
    pub(super) const SYS_open_tree_attr: c_long = 467;

    // musl's headers for aarch64 lack it.
    #[cfg(target_arch = "aarch64")]
    pub(super) const SYS_kexec_file_load: c_long = 294;

    // The x32 ABI of x86_64 marks its numbers with bit 30; 512 to 547 are its own calls, without the mark.
    #[cfg(target_arch = "x86_64")]
    pub(super) const SYS_x32: c_long = 1 << 30;
    #[cfg(target_arch = "x86_64")]
    pub(super) const X32_LAST: c_long = 0xffff_ffff;
    #[cfg(target_arch = "x86_64")]
    pub(super) const SYS_x32_unmarked: c_long = 512;
    #[cfg(target_arch = "x86_64")]
    pub(super) const X32_UNMARKED_LAST: c_long = 547;
}

/// The type of a socket, without the flags that come with it.
const SOCKET_TYPE: u32 = 0xf;

const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// Flags that make the kernel read the mode argument of `open`. `O_TMPFILE` contains `O_DIRECTORY`, which does not.
const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)).cast_unsigned();

/// Either bit asks for writing; both together, for a device's ioctls. Not `O_ACCMODE`: musl counts `O_PATH` in.
const WRITES: u32 = (libc::O_WRONLY | libc::O_RDWR).cast_unsigned();

/// Says that the descriptor is meant, and not a path.
const EMPTY_PATH: u32 = libc::AT_EMPTY_PATH.cast_unsigned();

/// `MSG_FASTOPEN`, which lets data connect.
const FASTOPEN: u32 = libc::MSG_FASTOPEN.cast_unsigned();

/// No valid exit signal has the bit of `CLONE_NEWTIME`, which shares its byte with the signal number.
const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWTIME)
    .cast_unsigned();

/// `PRIO_USER` of setpriority(2) and `IOPRIO_WHO_USER` of ioprio_set(2): there, 0 names the caller's user.
const WHO_USER: i32 = 2;
const IO_WHO_USER: i32 = 3;

const fn any_set(arg: u8, mask: u32) -> Test {
    test(arg, mask, Compare::AnySet)
}

const fn is(arg: u8, value: i32) -> Test {
    test(arg, u32::MAX, Compare::Is(value.cast_unsigned()))
}

const fn is_not(arg: u8, value: i32) -> Test {
    test(arg, u32::MAX, Compare::IsNot(value.cast_unsigned()))
}

/// The type of a socket is not this one.
const fn is_no_type(kind: i32) -> Test {
    test(1, SOCKET_TYPE, Compare::IsNot(kind.cast_unsigned()))
}

/// Character and block devices: their types differ in one bit, and no other type agrees with them in the rest.
const fn device(arg: u8) -> Test {
    test(arg, libc::S_IFMT & !(libc::S_IFCHR ^ libc::S_IFBLK), Compare::Is(libc::S_IFCHR & libc::S_IFBLK))
}

/// The assertion runs while the table is compiled.
const fn test(arg: u8, mask: u32, compare: Compare) -> Test {
    assert!(arg < 6, "a system call has six arguments");
    Test { arg, mask, compare }
}

/// A call number as the filter sees it; the assertion runs while the table is compiled.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the line above rules both out")]
const fn number(number: libc::c_long) -> u32 {
    assert!(number >= 0 && number <= u32::MAX as libc::c_long, "not a system call number");
    number as u32
}

/// The end of a range of one or two numbers.
const fn last(range: &[libc::c_long]) -> u32 {
    number(range[range.len() - 1])
}

/// The name of a call from the name of its constant.
const fn name(constant: &'static str) -> &'static str {
    constant.split_at("SYS_".len()).1
}

/// For rows without tests.
const ALWAYS: &str = "";

macro_rules! rows {
    ($(
        $action:ident unless $lift:ident:
        { $( $(#[$cfg:meta])* $sys:ident $(..= $last:ident)? $([ $($test:expr),+ ])? ),+ $(,)? }
        when $when:tt because $why:literal;
    )+) => {
        &[$($(
            $(#[$cfg])*
            Row {
                call: name(stringify!($sys)),
                first: number(numbers::$sys),
                last: last(&[numbers::$sys $(, numbers::$last)?]),
                tests: &[$($($test),+)?],
                when: $when,
                action: Action::$action,
                lift: Lift::$lift,
                why: $why,
            },
        )+)+]
    };
}

/// Every row. Of several rows for one call the first that applies counts.
pub(super) static ROWS: &[Row] = rows! {
    Eperm unless Ptrace: { SYS_ptrace }
        when ALWAYS
        because "one process could read or steer another, or take its descriptors; debuggers ask with --allow ptrace";
    Eperm unless Memory: { SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd }
        when ALWAYS
        because "one process could read or steer another, or take its descriptors; debuggers ask with --allow ptrace";

    // Kernel code that commands do not need.
    // cuFile's newer versions ask with --gpu-class gds.
    Eperm unless IoUring: { SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register }
        when ALWAYS because "its requests do calls that no filter sees";
    Eperm unless Never: { SYS_bpf }
        when ALWAYS because "programs and probes inside the kernel, a long record of escalations";
    // Nsight, rocprof and Intel's metrics ask with --gpu-class profiling.
    Eperm unless Perf: { SYS_perf_event_open }
        when ALWAYS because "programs and probes inside the kernel, a long record of escalations";
    Eperm unless Never: { SYS_userfaultfd }
        when ALWAYS because "stopping the kernel in the middle of a copy makes its races winnable";
    Eperm unless Never: { SYS_keyctl, SYS_add_key, SYS_request_key }
        when ALWAYS because "keyrings belong to the user, not to the sandbox: keys of the host would be in reach";

    // What would take the sandbox apart from inside.
    Eperm unless Never: {
        SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount, SYS_open_tree, SYS_open_tree_attr,
        SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
    } when ALWAYS because "the file view is built once, before the command starts";
    Eperm unless Never: { SYS_unshare, SYS_setns }
        when ALWAYS because "a new user namespace gives full capabilities over the kernel code behind them";
    Eperm unless Never: { SYS_clone [any_set(0, NEW_NAMESPACES)] }
        when "flags ask for a new namespace"
        because "a new user namespace gives full capabilities over the kernel code behind them";
    Enosys unless Never: { SYS_clone3 }
        when ALWAYS because "its flags lie in memory where no filter sees them; libc falls back to clone";
    Eperm unless Never: { SYS_open_by_handle_at }
        when ALWAYS because "a file handle opens files that no path of the sandbox leads to";
    Eperm unless Never: { SYS_fanotify_init, SYS_fanotify_mark }
        when ALWAYS because "it watches and holds up what other processes open, on whole file systems";

    // What is about the machine, not about the command.
    Eperm unless Never: { SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module, SYS_delete_module }
        when ALWAYS because "it changes which kernel code runs";
    Eperm unless Never: {
        SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_vhangup,
        SYS_settimeofday, SYS_clock_settime,
    } when ALWAYS because "it administers the machine";
    Eperm unless Never: { SYS_syslog }
        when ALWAYS because "the kernel log tells of other processes and of kernel addresses";
    Eperm unless Never: { #[cfg(target_arch = "x86_64")] SYS_iopl, #[cfg(target_arch = "x86_64")] SYS_ioperm }
        when ALWAYS because "it reaches hardware ports";
    Eperm unless Never: { #[cfg(target_arch = "x86_64")] SYS_uselib, SYS_nfsservctl, SYS_lookup_dcookie }
        when ALWAYS because "no program of today uses it, and old kernels still carry the code";

    // Set-ID bits and device nodes: harmless inside, where no_new_privs holds; a trap for whoever meets the file later.
    Eperm unless Never: {
        #[cfg(target_arch = "x86_64")] SYS_chmod [any_set(1, SET_ID)],
        SYS_fchmod [any_set(1, SET_ID)],
        SYS_fchmodat [any_set(2, SET_ID)],
        SYS_fchmodat2 [any_set(2, SET_ID)],
        #[cfg(target_arch = "x86_64")] SYS_creat [any_set(1, SET_ID)],
        #[cfg(target_arch = "x86_64")] SYS_mknod [any_set(1, SET_ID)],
        SYS_mknodat [any_set(2, SET_ID)],
    } when "mode has set-user-ID or set-group-ID" because "the file would lend its owner's rights outside the sandbox";
    Eperm unless Never: {
        #[cfg(target_arch = "x86_64")] SYS_open [any_set(1, CREATES), any_set(2, SET_ID)],
        SYS_openat [any_set(2, CREATES), any_set(3, SET_ID)],
    } when "flags create a file and mode has set-user-ID or set-group-ID"
        because "the file would lend its owner's rights outside the sandbox";
    Enosys unless Never: { SYS_openat2 }
        when ALWAYS because "its flags and mode lie in memory where no filter sees them; programs fall back to openat";
    Eperm unless Never: {
        #[cfg(target_arch = "x86_64")] SYS_mknod [device(1)],
        SYS_mknodat [device(2)],
    } when "mode asks for a device node" because "the node would reach a device that was not granted";
    Eperm unless Never: { SYS_renameat2 [any_set(4, libc::RENAME_WHITEOUT)] }
        when "flags ask for a whiteout" because "that is a device node in the workspace, made by a rename";

    // Sockets: getifaddrs (NCCL, MPI, UCX, Node) needs AF_NETLINK with NETLINK_ROUTE; all need UNIX and IP.
    Eperm unless Never: { SYS_socket [is(0, libc::AF_NETLINK), is_not(2, libc::NETLINK_ROUTE)] }
        when "domain is AF_NETLINK and protocol is not NETLINK_ROUTE"
        because "audit, netfilter, generic netlink and device events are the machine's; getifaddrs needs ROUTE only";
    Eperm unless Never: { SYS_socket [is(0, libc::AF_VSOCK)] }
        when "domain is AF_VSOCK"
        because "it reaches the hypervisor or the virtual machines, past every network namespace";
    Eperm unless Never: { SYS_socket [is(0, libc::AF_PACKET)] }
        when "domain is AF_PACKET"
        because "it reads and forges the frames of all programs";
    Eafnosupport unless Never: {
        SYS_socket [
            is_not(0, libc::AF_UNIX), is_not(0, libc::AF_INET), is_not(0, libc::AF_INET6), is_not(0, libc::AF_NETLINK)
        ]
    } when "domain is not AF_UNIX, AF_INET, AF_INET6 or AF_NETLINK"
        because "rare families are kernel code that commands do not need; programs take it as a kernel without them";
    Eafnosupport unless Never: { SYS_socketpair [is_not(0, libc::AF_UNIX)] }
        when "domain is not AF_UNIX"
        because "rare families are kernel code that commands do not need; programs take it as a kernel without them";

    // What --no-unix asks for, and Codex where its proxy is used.
    Eperm unless UnixSockets: { SYS_socket [is(0, libc::AF_UNIX)] }
        when "domain is AF_UNIX"
        because "a socket that a program of the host binds later could be connected to; pairs of sockets still work";

    // Without a network namespace.
    Eperm unless Connects: { SYS_connect }
        when ALWAYS because "no namespace keeps the network and the host's sockets away; pairs of sockets still work";
    // libcuda binds an abstract name and listens, and its start fails with error 304 where it may not.
    Eperm unless Listens: { SYS_bind, SYS_listen, SYS_accept, SYS_accept4 }
        when ALWAYS because "no namespace keeps the network and the host's sockets away; pairs of sockets still work";
    Eperm unless Connects: { SYS_socket [is_not(0, libc::AF_UNIX)] }
        when "domain is not AF_UNIX"
        because "no namespace keeps the network away";
    Eperm unless OnlyTcp: { SYS_socket [is(0, libc::AF_UNIX)] }
        when "domain is AF_UNIX"
        because "no namespace keeps the host's sockets away, and where TCP may connect no filter can tell which connects";
    Eperm unless OnlyTcp: {
        SYS_socket [is(0, libc::AF_NETLINK)],
        SYS_socket [is_no_type(libc::SOCK_STREAM)],
        SYS_socket [is_not(2, 0), is_not(2, libc::IPPROTO_TCP)],
    } when "it is not TCP"
        because "Landlock's rules for ports are about TCP: neither datagrams nor MPTCP, SCTP or SMC";
    Eperm unless OnlyTcp: {
        SYS_sendto [any_set(3, FASTOPEN)],
        SYS_sendmsg [any_set(2, FASTOPEN)],
        SYS_sendmmsg [any_set(3, FASTOPEN)],
        SYS_setsockopt [is(1, libc::IPPROTO_TCP), is(2, libc::TCP_FASTOPEN_CONNECT)],
        SYS_setsockopt [is(1, libc::IPPROTO_TCP), is(2, libc::TCP_ULP)],
    } when "it connects by TCP fast open, or puts another protocol on TCP"
        because "Landlock is not asked about such a connection";
    Eperm unless OwnNetwork: {
        SYS_socket [is_no_type(libc::SOCK_STREAM), is_no_type(libc::SOCK_SEQPACKET)],
        SYS_socketpair [is_no_type(libc::SOCK_STREAM), is_no_type(libc::SOCK_SEQPACKET)],
    } when "type is not SOCK_STREAM or SOCK_SEQPACKET"
        because "sendto and sendmsg name an address, which no filter sees: datagrams would reach the host's sockets";

    // Without a PID namespace.
    Eperm unless OwnProcesses: {
        SYS_prlimit64 [is_not(0, 0)],
        SYS_sched_setscheduler [is_not(0, 0)],
        SYS_sched_setparam [is_not(0, 0)],
        SYS_sched_setattr [is_not(0, 0)],
        SYS_sched_setaffinity [is_not(0, 0)],
        SYS_setpriority [is_not(1, 0)],
        SYS_ioprio_set [is_not(1, 0)],
        SYS_migrate_pages [is_not(0, 0)],
        SYS_move_pages [is_not(0, 0)],
    } when "it is about another process"
        because "no namespace keeps the user's other processes away, and these calls ask for no more than the same user";
    Eperm unless OwnProcesses: {
        SYS_setpriority [is(0, WHO_USER)],
        SYS_ioprio_set [is(0, IO_WHO_USER)],
    } when "it is about all processes of a user"
        because "no namespace keeps the user's other processes away, and these calls ask for no more than the same user";
    Eperm unless OwnProcesses: { SYS_process_madvise }
        when ALWAYS
        because "no namespace keeps the user's other processes away, and these calls ask for no more than the same user";

    // Without an IPC namespace.
    Enosys unless OwnIpc: {
        SYS_shmget, SYS_shmat, SYS_shmctl, SYS_semget, SYS_semop, SYS_semtimedop, SYS_semctl,
        SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink,
    } when ALWAYS
        because "no namespace keeps shared memory, semaphores and queues of the user's other programs away; ENOSYS is \
                 what a kernel without them answers";

    // Where nothing in /proc can be written. Behind the rows that refuse some of the same calls.
    AskInit unless OwnNames: {
        #[cfg(target_arch = "x86_64")] SYS_open [any_set(1, WRITES)],
        SYS_openat [any_set(2, WRITES)],
    } when "flags ask for writing"
        because "CUDA's start names its threads in /proc, of which nothing else may be written: only init can tell";
    AskInit unless OwnNames: { #[cfg(target_arch = "x86_64")] SYS_creat }
        when ALWAYS
        because "CUDA's start names its threads in /proc, of which nothing else may be written: only init can tell";

    // Where it is asked what a command is refused. Behind all rows that refuse.
    AskInit unless Unwatched: {
        #[cfg(target_arch = "x86_64")] SYS_open,
        SYS_openat,
        SYS_openat2,
        #[cfg(target_arch = "x86_64")] SYS_creat,
        #[cfg(target_arch = "x86_64")] SYS_mkdir,
        SYS_mkdirat,
        #[cfg(target_arch = "x86_64")] SYS_mknod,
        SYS_mknodat,
        #[cfg(target_arch = "x86_64")] SYS_rmdir,
        #[cfg(target_arch = "x86_64")] SYS_unlink,
        SYS_unlinkat,
        #[cfg(target_arch = "x86_64")] SYS_rename,
        SYS_renameat,
        SYS_renameat2,
        #[cfg(target_arch = "x86_64")] SYS_link,
        SYS_linkat,
        #[cfg(target_arch = "x86_64")] SYS_symlink,
        SYS_symlinkat,
        SYS_truncate,
        #[cfg(target_arch = "x86_64")] SYS_chmod,
        SYS_fchmodat,
        SYS_fchmodat2,
        #[cfg(target_arch = "x86_64")] SYS_chown,
        #[cfg(target_arch = "x86_64")] SYS_lchown,
        SYS_fchownat,
        SYS_utimensat,
        #[cfg(target_arch = "x86_64")] SYS_utimes,
        SYS_setxattr,
        SYS_lsetxattr,
        SYS_execve,
        SYS_execveat,
        SYS_connect,
    } when ALWAYS because "--explain: init notes what is named, and the call goes on as if nobody had asked";
    AskInit unless Unwatched: { SYS_sendto [any_set(4, u32::MAX)] }
        when "an address is given"
        because "--explain: init notes what is named, and the call goes on as if nobody had asked";
    AskInit unless Unlearned: {
        #[cfg(target_arch = "x86_64")] SYS_stat,
        #[cfg(target_arch = "x86_64")] SYS_lstat,
        #[cfg(target_arch = "x86_64")] SYS_access,
        SYS_faccessat,
        SYS_faccessat2,
        #[cfg(target_arch = "x86_64")] SYS_readlink,
        SYS_readlinkat,
        SYS_chdir,
        SYS_statfs,
    } when ALWAYS because "learn: init notes what is looked at, and the call goes on as if nobody had asked";
    AskInit unless Unlearned: {
        SYS_newfstatat [test(3, EMPTY_PATH, Compare::Is(0))],
        SYS_statx [test(2, EMPTY_PATH, Compare::Is(0))],
    } when "a path is given" because "learn: init notes what is looked at, and the call goes on as if nobody had asked";

    // A second ABI on the same machine.
    Enosys unless Never: {
        #[cfg(target_arch = "x86_64")] SYS_x32 ..= X32_LAST,
        #[cfg(target_arch = "x86_64")] SYS_x32_unmarked ..= X32_UNMARKED_LAST,
    }
        when ALWAYS because "x32 numbers reach the same calls past every other row; ENOSYS is what most kernels answer";
};
