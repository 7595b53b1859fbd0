use super::{Action, Compare, Modes, Row, plan, table};
#[cfg(target_arch = "x86_64")]
use expect_test::expect;
use std::collections::BTreeMap;

/// By name: the numbers on x86_64 and on aarch64.
fn numbers() -> BTreeMap<&'static str, [Option<u32>; 2]> {
    let line = |line: &'static str| match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        [name, x86_64, aarch64] => (name, [x86_64.parse().ok(), aarch64.parse().ok()]),
        _ => panic!("{line}"),
    };
    include_str!("numbers.txt").lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

/// The ranges of the x32 ABI are no calls.
fn is_call(row: &&Row) -> bool {
    row.first == row.last
}

#[test]
fn each_number_is_the_kernel_s_and_no_call_of_this_architecture_is_left_out() {
    let here = usize::from(cfg!(target_arch = "aarch64"));
    let want: BTreeMap<_, _> = numbers().into_iter().filter_map(|(name, both)| Some((name, both[here]?))).collect();
    let rows: BTreeMap<_, _> = table::ROWS.iter().filter(is_call).map(|row| (row.call, row.first)).collect();
    assert_eq!(rows, want);
}

#[test]
fn exactly_what_aarch64_lacks_is_left_out_there() {
    let text = include_str!("table.rs");
    let rows = text.split_once("static ROWS").unwrap().1;
    let mut left_out: Vec<_> = rows
        .split("#[cfg(target_arch = \"x86_64\")] SYS_")
        .skip(1)
        .map(|rest| rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap())
        .filter(|name| !name.starts_with("x32"))
        .collect();
    left_out.sort_unstable();
    left_out.dedup();
    let lacking: Vec<_> = numbers().into_iter().filter(|(_, both)| both[1].is_none()).map(|(name, _)| name).collect();
    assert_eq!(left_out, lacking);
}

#[test]
fn the_error_numbers_are_those_of_libc() {
    let ours = [Action::Eperm, Action::Enosys, Action::Eafnosupport, Action::AskInit];
    let ours = ours.map(|action| action.errno().map(i32::from));
    assert_eq!(ours, [Some(libc::EPERM), Some(libc::ENOSYS), Some(libc::EAFNOSUPPORT), None]);
}

#[test]
fn a_row_says_when_exactly_if_it_tests_arguments_and_always_why() {
    for row in table::ROWS {
        assert_eq!(row.when.is_empty(), row.tests.is_empty(), "{row}");
        assert!(!row.why.is_empty() && !row.call.is_empty() && row.first <= row.last, "{row}");
    }
}

#[test]
fn masked_values_lie_below_their_masks() {
    // Else a test could never, or always, be true.
    for row in table::ROWS {
        for test in row.tests {
            match test.compare {
                Compare::AnySet => assert_ne!(test.mask, 0, "{row}"),
                Compare::Is(value) | Compare::IsNot(value) => assert_eq!(value & !test.mask, 0, "{row}"),
            }
        }
    }
}

fn refusal(call: libc::c_long, args: [u64; 6]) -> Option<(&'static str, Action)> {
    decision(Modes::STRICT, call, args)
}

fn decision(modes: Modes, call: libc::c_long, args: [u64; 6]) -> Option<(&'static str, Action)> {
    let row: Option<&Row> = plan(modes).decision(u32::try_from(call).unwrap(), &args);
    row.map(|row| (row.call, row.action))
}

const NAMING: Modes = Modes { names_threads: true, ..Modes::STRICT };

#[test]
fn of_all_file_types_exactly_the_devices_are_refused() {
    for kind in 0..16_u32 {
        let mode = u64::from(kind << 12 | 0o644);
        let device = [libc::S_IFCHR, libc::S_IFBLK].contains(&(kind << 12));
        assert_eq!(refusal(libc::SYS_mknodat, [0, 0, mode, 0, 0, 0]).is_some(), device, "{mode:o}");
    }
}

#[test]
fn the_mode_of_open_counts_only_when_a_file_is_made() {
    let open = |flags: i32, mode| refusal(libc::SYS_openat, [0, 0, u64::from(flags.cast_unsigned()), mode, 0, 0]);
    assert_eq!(open(libc::O_CREAT | libc::O_WRONLY, 0o4755), Some(("openat", Action::Eperm)));
    assert_eq!(open(libc::O_TMPFILE | libc::O_RDWR, 0o2755), Some(("openat", Action::Eperm)));
    assert_eq!(open(libc::O_CREAT | libc::O_WRONLY, 0o1755), None);
    assert_eq!(open(libc::O_RDONLY, 0o6755), None);
    assert_eq!(open(libc::O_RDONLY | libc::O_DIRECTORY, 0o6755), None);
}

#[test]
fn init_is_asked_about_every_way_to_open_for_writing_and_about_nothing_else() {
    let (asked, refused) = (Some(Action::AskInit), Some(Action::Eperm));
    let table = [
        (libc::O_RDONLY, 0o644, None),
        (libc::O_RDONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC, 0o644, None),
        (libc::O_RDONLY | libc::O_CREAT, 0o4755, refused),
        (libc::O_WRONLY, 0o644, asked),
        (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, 0o644, asked),
        (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, 0o4755, refused),
        (libc::O_WRONLY, 0o4755, asked),
        (libc::O_RDWR, 0, asked),
        (libc::O_TMPFILE | libc::O_RDWR, 0o600, asked),
        (libc::O_TMPFILE | libc::O_RDWR, 0o2600, refused),
        (libc::O_WRONLY | libc::O_RDWR, 0, asked),
    ];
    let of = |modes, call, args| decision(modes, call, args).map(|(_, action)| action);
    for (flags, mode, want) in table {
        for high in [0, 0xdead_beef << 32] {
            let flags = high | u64::from(flags.cast_unsigned());
            let args = [0, 0, flags, mode, 0, 0];
            assert_eq!(of(NAMING, libc::SYS_openat, args), want, "openat {flags:o} {mode:o}");
            assert_eq!(of(Modes::STRICT, libc::SYS_openat, args), want.filter(|action| *action != Action::AskInit));
            #[cfg(target_arch = "x86_64")]
            assert_eq!(of(NAMING, libc::SYS_open, [0, flags, mode, 0, 0, 0]), want, "open {flags:o} {mode:o}");
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        assert_eq!(of(NAMING, libc::SYS_creat, [0, 0o644, 0, 0, 0, 0]), asked);
        assert_eq!(of(NAMING, libc::SYS_creat, [0, 0o4644, 0, 0, 0, 0]), refused);
        assert_eq!(of(Modes::STRICT, libc::SYS_creat, [0, 0o644, 0, 0, 0, 0]), None);
    }
    // It stays a call that fails.
    assert_eq!(of(NAMING, libc::SYS_openat2, [0; 6]), Some(Action::Enosys));
}

#[test]
fn where_only_tcp_may_connect_nothing_else_can() {
    let modes = Modes { own_network: false, connects: true, ..Modes::STRICT };
    let word = |value: i32| u64::from(value.cast_unsigned());
    let [unix, inet, inet6, netlink] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(word);
    let [stream, datagram, packets] = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET].map(word);
    let [tcp, sctp, fastopen] = [libc::IPPROTO_TCP, libc::IPPROTO_SCTP, libc::MSG_FASTOPEN].map(word);
    let flags = word(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
    let table: &[(&str, libc::c_long, [u64; 4], bool)] = &[
        ("TCP", libc::SYS_socket, [inet, stream | flags, 0, 0], true),
        ("TCP by its number", libc::SYS_socket, [inet6, stream, tcp, 0], true),
        ("connect", libc::SYS_connect, [3, 0, 16, 0], true),
        ("send", libc::SYS_sendto, [3, 0, 1, 0], true),
        ("a pair", libc::SYS_socketpair, [unix, stream, 0, 0], true),
        ("unix", libc::SYS_socket, [unix, stream, 0, 0], false),
        ("UDP", libc::SYS_socket, [inet, datagram, 0, 0], false),
        ("SCTP", libc::SYS_socket, [inet, stream, sctp, 0], false),
        ("SCTP by its type", libc::SYS_socket, [inet, packets, 0, 0], false),
        ("MPTCP", libc::SYS_socket, [inet, stream, 262, 0], false),
        ("netlink", libc::SYS_socket, [netlink, word(libc::SOCK_RAW), 0, 0], false),
        ("fast open", libc::SYS_sendto, [3, 0, 1, fastopen], false),
        ("fast open by message", libc::SYS_sendmsg, [3, 0, fastopen, 0], false),
        ("fast open by messages", libc::SYS_sendmmsg, [3, 0, 1, fastopen], false),
        ("fast open by option", libc::SYS_setsockopt, [3, tcp, word(libc::TCP_FASTOPEN_CONNECT), 0], false),
        ("another protocol", libc::SYS_setsockopt, [3, tcp, word(libc::TCP_ULP), 0], false),
        ("an option", libc::SYS_setsockopt, [3, tcp, word(libc::TCP_NODELAY), 0], true),
        ("bind", libc::SYS_bind, [3, 0, 16, 0], false),
        ("listen", libc::SYS_listen, [3, 1, 0, 0], false),
    ];
    for (what, call, [a, b, c, d], allowed) in table {
        assert_eq!(decision(modes, *call, [*a, *b, *c, *d, 0, 0]).is_none(), *allowed, "{what}");
    }
    let pairs_only = Modes { unix_sockets: false, ..Modes::STRICT };
    assert!(decision(pairs_only, libc::SYS_socket, [unix, stream, 0, 0, 0, 0]).is_some());
    assert!(decision(pairs_only, libc::SYS_socketpair, [unix, stream, 0, 0, 0, 0]).is_none());
    assert!(decision(Modes::STRICT, libc::SYS_socket, [unix, stream, 0, 0, 0, 0]).is_none());
}

#[test]
fn who_may_listen_without_a_namespace_may_not_reach_the_network() {
    let inet = u64::from(libc::AF_INET.cast_unsigned());
    let calls = [
        (libc::SYS_socket, inet),
        (libc::SYS_connect, 0),
        (libc::SYS_bind, 0),
        (libc::SYS_listen, 0),
        (libc::SYS_accept4, 0),
    ];
    let refused = |own_network, listens| {
        let modes = Modes { own_network, listens, ..Modes::STRICT };
        calls.map(|(call, first)| decision(modes, call, [first, 0, 0, 0, 0, 0]).is_some())
    };
    assert_eq!(refused(false, false), [true; 5]);
    assert_eq!(refused(false, true), [true, true, false, false, false]);
    assert_eq!(refused(true, false), [false; 5]);
}

#[test]
fn asking_init_adds_rows_and_changes_none() {
    let (strict, naming) = (plan(Modes::STRICT), plan(NAMING));
    let refusing: Vec<_> = naming.rows.iter().copied().filter(|row| row.action != Action::AskInit).collect();
    assert_eq!(refusing, strict.rows);
    let text = naming.to_string();
    let asked: Vec<_> = text.lines().filter(|line| !line.starts_with("deny ") && !line.starts_with("kill ")).collect();
    let why =
        "because CUDA's start names its threads in /proc, of which nothing else may be written: only init can tell";
    #[cfg(target_arch = "x86_64")]
    let want = vec![
        format!("ask init about open, openat when flags ask for writing {why}"),
        format!("ask init about creat {why}"),
    ];
    #[cfg(target_arch = "aarch64")]
    let want = vec![format!("ask init about openat when flags ask for writing {why}")];
    assert_eq!(asked, want);
}

#[test]
fn garbage_above_the_low_word_changes_nothing() {
    let garbage = 0xdead_beef_u64 << 32;
    for high in [0, garbage] {
        assert!(refusal(libc::SYS_fchmod, [0, high | 0o4755, 0, 0, 0, 0]).is_some());
        assert!(refusal(libc::SYS_fchmod, [0, high | 0o0755, 0, 0, 0, 0]).is_none());
        assert!(refusal(libc::SYS_clone, [high | 0x1000_0000, 0, 0, 0, 0, 0]).is_some());
        assert!(refusal(libc::SYS_socket, [high | u64::from(libc::AF_VSOCK.cast_unsigned()), 1, 0, 0, 0, 0]).is_some());
        assert!(
            refusal(libc::SYS_socket, [high | u64::from(libc::AF_NETLINK.cast_unsigned()), 3, high, 0, 0, 0]).is_none()
        );
    }
}

#[test]
fn threads_and_forks_are_not_namespaces() {
    // glibc's pthread_create, then fork with the exit signal in the low byte.
    assert_eq!(refusal(libc::SYS_clone, [0x003d_0f00, 0, 0, 0, 0, 0]), None);
    assert_eq!(refusal(libc::SYS_clone, [0x0120_0011, 0, 0, 0, 0, 0]), None);
}

#[test]
fn what_gpu_programs_need_has_no_row() {
    let needed = [
        libc::SYS_ioctl,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_memfd_create,
        libc::SYS_mbind,
        libc::SYS_get_mempolicy,
        libc::SYS_set_mempolicy,
        libc::SYS_sched_setaffinity,
        libc::SYS_sendmsg,
        libc::SYS_sendto,
        libc::SYS_recvmsg,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_getsockopt,
        libc::SYS_setsockopt,
        libc::SYS_shutdown,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_seccomp,
        libc::SYS_landlock_restrict_self,
        libc::SYS_personality,
    ];
    for call in needed {
        let call = u32::try_from(call).unwrap();
        assert!(plan(Modes::STRICT).rows.iter().all(|row| !(row.first..=row.last).contains(&call)), "{call}");
    }
}

#[test]
fn ptrace_lifts_its_five_rows_and_no_other() {
    let (strict, lifted) = (plan(Modes::STRICT), plan(Modes::DEBUGGING));
    assert_eq!(strict.rows.len(), lifted.rows.len() + 5);
    assert!(strict.lifted.is_empty());
    let text = lifted.to_string();
    let allowed: Vec<_> = text.lines().filter(|line| line.starts_with("allow ")).collect();
    let want = [
        "allow ptrace because --allow ptrace or gpu class debug",
        "allow process_vm_readv, process_vm_writev, kcmp, pidfd_getfd because --allow ptrace or gpu class debug or ipc",
    ];
    assert_eq!(allowed, want);
}

#[test]
fn each_class_lifts_its_own_rows_and_no_other() {
    let table = [
        (Modes { memory: true, ..Modes::STRICT }, "process_vm_readv process_vm_writev kcmp pidfd_getfd"),
        (Modes { perf: true, ..Modes::STRICT }, "perf_event_open"),
        (Modes { io_uring: true, ..Modes::STRICT }, "io_uring_setup io_uring_enter io_uring_register"),
    ];
    for (modes, want) in table {
        let calls: Vec<_> = plan(modes).lifted.iter().map(|row| row.call).collect();
        assert_eq!(calls.join(" "), want);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_table_as_it_is_printed() {
    expect![[r#"
        kill on any call that is not x86_64, because its number would mean another call
        deny EPERM ptrace because one process could read or steer another, or take its descriptors; debuggers ask with --allow ptrace
        deny EPERM process_vm_readv, process_vm_writev, kcmp, pidfd_getfd because one process could read or steer another, or take its descriptors; debuggers ask with --allow ptrace
        deny EPERM io_uring_setup, io_uring_enter, io_uring_register because its requests do calls that no filter sees
        deny EPERM bpf because programs and probes inside the kernel, a long record of escalations
        deny EPERM perf_event_open because programs and probes inside the kernel, a long record of escalations
        deny EPERM userfaultfd because stopping the kernel in the middle of a copy makes its races winnable
        deny EPERM keyctl, add_key, request_key because keyrings belong to the user, not to the sandbox: keys of the host would be in reach
        deny EPERM mount, umount2, pivot_root, chroot, move_mount, open_tree, open_tree_attr, fsopen, fsconfig, fsmount, fspick, mount_setattr because the file view is built once, before the command starts
        deny EPERM unshare, setns because a new user namespace gives full capabilities over the kernel code behind them
        deny EPERM clone when flags ask for a new namespace because a new user namespace gives full capabilities over the kernel code behind them
        deny ENOSYS clone3 because its flags lie in memory where no filter sees them; libc falls back to clone
        deny EPERM open_by_handle_at because a file handle opens files that no path of the sandbox leads to
        deny EPERM fanotify_init, fanotify_mark because it watches and holds up what other processes open, on whole file systems
        deny EPERM kexec_load, kexec_file_load, init_module, finit_module, delete_module because it changes which kernel code runs
        deny EPERM reboot, swapon, swapoff, acct, quotactl, quotactl_fd, vhangup, settimeofday, clock_settime because it administers the machine
        deny EPERM syslog because the kernel log tells of other processes and of kernel addresses
        deny EPERM iopl, ioperm because it reaches hardware ports
        deny EPERM uselib, nfsservctl, lookup_dcookie because no program of today uses it, and old kernels still carry the code
        deny EPERM chmod, fchmod, fchmodat, fchmodat2, creat, mknod, mknodat when mode has set-user-ID or set-group-ID because the file would lend its owner's rights outside the sandbox
        deny EPERM open, openat when flags create a file and mode has set-user-ID or set-group-ID because the file would lend its owner's rights outside the sandbox
        deny ENOSYS openat2 because its flags and mode lie in memory where no filter sees them; programs fall back to openat
        deny EPERM mknod, mknodat when mode asks for a device node because the node would reach a device that was not granted
        deny EPERM renameat2 when flags ask for a whiteout because that is a device node in the workspace, made by a rename
        deny EPERM socket when domain is AF_NETLINK and protocol is not NETLINK_ROUTE because audit, netfilter, generic netlink and device events are the machine's; getifaddrs needs ROUTE only
        deny EPERM socket when domain is AF_VSOCK because it reaches the hypervisor or the virtual machines, past every network namespace
        deny EPERM socket when domain is AF_PACKET because it reads and forges the frames of all programs
        deny EAFNOSUPPORT socket when domain is not AF_UNIX, AF_INET, AF_INET6 or AF_NETLINK because rare families are kernel code that commands do not need; programs take it as a kernel without them
        deny EAFNOSUPPORT socketpair when domain is not AF_UNIX because rare families are kernel code that commands do not need; programs take it as a kernel without them
        deny ENOSYS x32 (0x40000000..=0xffffffff), x32_unmarked (0x200..=0x223) because x32 numbers reach the same calls past every other row; ENOSYS is what most kernels answer"#]].assert_eq(&plan(Modes::STRICT).to_string());
}
