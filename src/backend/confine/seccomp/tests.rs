//! The program against the table: an interpreter of classic BPF runs the one and reads the other.

use super::{NATIVE, SeccompError, compile, compile_only};
use crate::plan::syscalls::Watch;
use crate::plan::syscalls::{Action, Compare, Lift, Modes, Row, SyscallPlan, Test, plan};
use libc::sock_filter;
use proptest::array::uniform6;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

const NAMING: Modes = Modes { names_threads: true, ..Modes::STRICT };
const LEARNING: Modes = Modes { watch: Some(Watch::Everything), ..Modes::STRICT };

/// What a run of the program came to.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    result: u32,
    steps: usize,
    argument_loads: usize,
}

/// The subset of classic BPF that seccomp programs of ours use; anything else is a mistake.
fn interpret(program: &[sock_filter], number: u32, arch: u32, args: &[u64; 6]) -> Run {
    let mut data = Vec::new();
    data.extend(number.to_ne_bytes());
    data.extend(arch.to_ne_bytes());
    data.extend(0_u64.to_ne_bytes());
    data.extend(args.iter().flat_map(|arg| arg.to_ne_bytes()));
    let (mut at, mut word, mut steps, mut argument_loads) = (0, 0_u32, 0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        let choose = |yes: bool| usize::from(if yes { jt } else { jf });
        (steps, at) = (steps + 1, at + 1);
        match code {
            0x20 => {
                let offset = k as usize;
                assert_eq!(offset % 4, 0, "the kernel refuses unaligned loads");
                argument_loads += usize::from(offset >= 16);
                word = u32::from_ne_bytes(data[offset..offset + 4].try_into().unwrap());
            }
            0x54 => word &= k,
            0x05 => at += k as usize,
            0x15 => at += choose(word == k),
            0x35 => at += choose(word >= k),
            0x45 => at += choose(word & k != 0),
            0x06 => return Run { result: k, steps, argument_loads },
            _ => panic!("instruction {code:#x}"),
        }
    }
}

fn expected(plan: &SyscallPlan, number: u32, args: &[u64; 6]) -> u32 {
    let errno = |row: &Row| row.action.errno().filter(|_| !plan.is_noted(row));
    let of = |row: &Row| errno(row).map_or(0x7fc0_0000, |errno| 0x0005_0000 | u32::from(errno));
    plan.decision(number, args).map_or(libc::SECCOMP_RET_ALLOW, of)
}

fn agree(plan: &SyscallPlan, number: u32, args: &[u64; 6]) {
    let program = compile(plan).unwrap();
    let run = interpret(program.instructions(), number, NATIVE, args);
    assert_eq!(run.result, expected(plan, number, args), "call {number} with {args:x?}");
}

/// All numbers that exist, the x32 ones, and the ends of the number space.
fn numbers() -> impl Iterator<Item = u32> {
    (0..600).chain(0x4000_0000..0x4000_0258).chain([0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX])
}

/// Argument words at which some row turns.
fn words() -> Vec<u64> {
    let families = [0, 1, 2, 10, 16, 17, 38, 40, 45];
    let modes = [0o644, 0o1755, 0o2755, 0o4755, 0o6000, 0o020_644, 0o060_644, 0o100_644, 0o010_644];
    let clone = [0x11, 0x80, 0x0002_0000, 0x1000_0000, 0x003d_0f00];
    let open = [0o100, 0o101, 0o3, 0o1101, 0o2_000_002, 0o20_000_000, 0o20_200_000, 0o20_200_002];
    let flags = clone.into_iter().chain(open);
    let low = families.into_iter().chain(modes).chain(flags).collect::<Vec<u64>>();
    let high = low.iter().map(|word| word | 0xffff_ffff_0000_0000);
    low.iter().copied().chain(high).collect()
}

#[test]
fn every_number_ends_as_the_table_says() {
    for plan in [plan(Modes::STRICT), plan(Modes::DEBUGGING), plan(NAMING), plan(LEARNING)] {
        for args in [[0; 6], [u64::MAX; 6], [0o4755; 6], [16; 6]] {
            numbers().for_each(|number| agree(&plan, number, &args));
        }
    }
}

#[test]
fn every_tested_call_ends_as_the_table_says_for_pairs_of_words() {
    let plan = plan(NAMING);
    let program = compile(&plan).unwrap();
    for row in plan.rows.iter().filter(|row| !row.tests.is_empty()) {
        for first in words() {
            for second in words() {
                for args in [[first, second, first, second, 0, 0], [first, first, second, second, 0, 0]] {
                    let run = interpret(program.instructions(), row.first, NATIVE, &args);
                    assert_eq!(run.result, expected(&plan, row.first, &args), "{row} with {args:x?}");
                }
            }
        }
    }
}

/// Init is asked about what is refused only where it is to note it, and nothing that is refused gets past init.
#[test]
fn what_init_notes_is_refused_all_the_same() {
    for modes in [LEARNING, Modes { watch: Some(Watch::Refusals), ..Modes::DEBUGGING }] {
        let watching = plan(modes);
        let plain = plan(Modes { watch: None, ..modes });
        for args in [[0; 6], [u64::MAX; 6], [0o4755; 6], [16; 6]] {
            for number in numbers() {
                let refusal = |plan: &SyscallPlan| plan.decision(number, &args).and_then(|row| row.action.errno());
                assert_eq!(refusal(&watching), refusal(&plain), "call {number} with {args:x?}");
            }
        }
    }
    let noted = |modes| plan(modes).rows.iter().filter(|row| plan(modes).is_noted(row)).count();
    assert!(noted(Modes::STRICT) == 0 && noted(LEARNING) > 50);
}

#[test]
fn what_needs_no_argument_loads_none_and_is_decided_in_few_steps() {
    for plan in [plan(Modes::STRICT), plan(NAMING)] {
        needs_few_steps(&plan);
    }
}

fn needs_few_steps(plan: &SyscallPlan) {
    let program = compile(plan).unwrap();
    for number in numbers() {
        let tested = plan.rows.iter().any(|row| row.first == number && !row.tests.is_empty());
        let run = interpret(program.instructions(), number, NATIVE, &[0; 6]);
        assert_eq!(run.argument_loads > 0, tested, "call {number}");
        // Two loads, the architecture, the search and the return.
        assert!(tested || run.steps <= 4 + 8, "call {number} takes {} steps", run.steps);
    }
}

/// The kernel runs a filter once for each number, without arguments; what it allows then, it never asks about again
/// (seccomp_cache_prepare of kernel/seccomp.c). It can only where the filter looks at no argument.
#[test]
fn the_kernel_remembers_that_hot_calls_are_allowed() {
    let hot = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_close,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_readlinkat,
        libc::SYS_faccessat2,
        libc::SYS_getdents64,
        libc::SYS_ioctl,
        libc::SYS_fcntl,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_epoll_pwait,
        libc::SYS_ppoll,
        libc::SYS_sendmsg,
        libc::SYS_recvmsg,
        libc::SYS_getpid,
        libc::SYS_clock_gettime,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_execve,
        libc::SYS_exit_group,
        libc::SYS_wait4,
    ];
    let program = compile(&plan(Modes::STRICT)).unwrap();
    let run = |number: libc::c_long| interpret(program.instructions(), u32::try_from(number).unwrap(), NATIVE, &[0; 6]);
    for number in hot {
        let run = run(number);
        assert_eq!((run.result, run.argument_loads), (libc::SECCOMP_RET_ALLOW, 0), "call {number}");
    }
    // Who makes a file could give it set-user-ID: the flags are looked at, and that is all, where none is made.
    let opened = run(libc::SYS_openat);
    assert_eq!((opened.result, opened.argument_loads), (libc::SECCOMP_RET_ALLOW, 1));
}

#[test]
fn a_foreign_architecture_is_killed_whatever_the_number() {
    let program = compile(&plan(Modes::DEBUGGING)).unwrap();
    // i386, arm, x86_64, aarch64, and what no kernel uses.
    for arch in [0x4000_0003, 0x4000_0028, 0xc000_003e, 0xc000_00b7, 0, u32::MAX] {
        for number in numbers() {
            let run = interpret(program.instructions(), number, arch, &[0; 6]);
            assert_eq!(run.result == libc::SECCOMP_RET_KILL_PROCESS, arch != NATIVE, "{arch:x} {number}");
            assert!(arch == NATIVE || run.steps == 3);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn x32_numbers_do_not_exist() {
    let program = compile(&plan(Modes::DEBUGGING)).unwrap();
    let refused = 0x0005_0000 | u32::from(Action::Enosys.errno().unwrap());
    for number in (0x4000_0000..0x4000_0258).chain(512..548) {
        assert_eq!(interpret(program.instructions(), number, NATIVE, &[0; 6]).result, refused, "{number:x}");
    }
}

#[test]
fn the_program_stays_short() {
    let [strict, lifted] =
        [Modes::STRICT, Modes::DEBUGGING].map(|modes| compile(&plan(modes)).unwrap().instructions().len());
    assert!(lifted <= strict && strict < 200, "{strict} and {lifted} instructions");
    let naming = compile(&plan(NAMING)).unwrap().instructions().len();
    assert!(naming <= strict + 10, "{strict} and {naming} instructions");
}

/// A row of no real call; leaked, because rows of the table live for ever.
fn row(first: u32, last: u32, tests: Vec<Test>) -> &'static Row {
    let (call, when, why, action, lift) = ("made-up", "", "test", Action::Eperm, Lift::Never);
    Box::leak(Box::new(Row { call, first, last, tests: tests.leak(), when, action, lift, why }))
}

fn made_up(rows: Vec<&'static Row>) -> SyscallPlan {
    SyscallPlan { rows, lifted: Vec::new(), modes: Modes::STRICT }
}

#[test]
fn jumps_beyond_their_reach_still_arrive() {
    let test = |arg, value| Test { arg, mask: 0xff, compare: Compare::Is(value) };
    let rows = (0..200).map(|number| row(2 * number, 2 * number, vec![test(0, number), test(1, 1), test(5, 2)]));
    let plan = made_up(rows.collect());
    let program = compile(&plan).unwrap();
    assert!(program.instructions().iter().any(|instruction| instruction.code == 0x05), "no far jump was needed");
    for number in 0..500 {
        for args in [[0; 6], [u64::from(number / 2), 1, 0, 0, 0, 2], [u64::from(number / 2), 1, 0, 0, 0, 3]] {
            let run = interpret(program.instructions(), number, NATIVE, &args);
            assert_eq!(run.result, expected(&plan, number, &args), "call {number}");
        }
    }
}

#[test]
fn a_program_beyond_the_kernels_limit_is_an_error() {
    let test = Test { arg: 0, mask: 1, compare: Compare::AnySet };
    let rows = (0..1000).map(|number| row(2 * number, 2 * number, vec![test; 3])).collect();
    assert!(matches!(compile(&made_up(rows)), Err(SeccompError::TooLong { instructions: 4097.. })));
}

#[test]
fn rows_that_overlap_are_an_error() {
    for (first, second) in [((1, 5), (5, 9)), ((1, 5), (2, 3)), ((1, 1), (1, 2)), ((1, 2), (1, 1))] {
        let rows = vec![row(first.0, first.1, Vec::new()), row(second.0, second.1, Vec::new())];
        let error = compile(&made_up(rows)).unwrap_err();
        assert_eq!(error, SeccompError::Overlap { first: "made-up", second: "made-up" });
    }
}

#[test]
fn an_empty_plan_and_a_total_one_compile() {
    agree(&made_up(Vec::new()), 7, &[0; 6]);
    agree(&made_up(vec![row(0, u32::MAX, Vec::new())]), 7, &[0; 6]);
}

fn word() -> impl Strategy<Value = u64> {
    let known = (0..words().len()).prop_map(|index| words()[index]);
    prop_oneof![known, any::<u64>(), (0..64_u64).prop_map(|bit| 1 << bit), Just(0)]
}

fn number() -> impl Strategy<Value = u32> {
    let rows = plan(NAMING).rows;
    let named = (0..rows.len()).prop_map(move |index| rows[index].first);
    prop_oneof![3 => named, 1 => 0..600_u32, 1 => any::<u32>()]
}

fn modes() -> impl Strategy<Value = Modes> {
    let network = any::<[bool; 4]>();
    let watch = prop_oneof![Just(None), Just(Some(Watch::Refusals)), Just(Some(Watch::Everything))];
    (network, any::<[bool; 7]>(), watch).prop_map(
        |(
            [own_network, connects, unix_sockets, listens],
            [ptrace, memory, perf, io_uring, own_processes, own_ipc, names_threads],
            watch,
        )| Modes {
            connects,
            unix_sockets,
            listens,
            memory,
            perf,
            io_uring,
            ptrace,
            own_network,
            own_processes,
            own_ipc,
            names_threads,
            watch,
        },
    )
}

/// Those that a process of ours lists are allowed, and all others fail.
#[test]
fn a_list_is_all_that_is_allowed() {
    let calls = [libc::SYS_read, libc::SYS_epoll_pwait, libc::SYS_exit_group, 0, 1, 3];
    let program = compile_only(&calls, &[]).unwrap();
    for number in (0..600).chain([u32::MAX, 1 << 30]) {
        let listed = calls.contains(&libc::c_long::from(number));
        let want = if listed { libc::SECCOMP_RET_ALLOW } else { libc::SECCOMP_RET_ERRNO | 1 };
        assert_eq!(interpret(program.instructions(), number, NATIVE, &[0; 6]).result, want, "{number}");
    }
    let foreign = interpret(program.instructions(), 0, NATIVE ^ 1, &[0; 6]).result;
    assert_eq!(foreign, libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn what_is_refused_of_a_listed_call_fails() {
    let is_not = |arg, value| Test { arg, mask: u32::MAX, compare: Compare::IsNot(value) };
    let refusals = [
        (1, vec![is_not(0, 2), is_not(0, 10)]),
        (1, vec![is_not(2, 0)]),
        (3, vec![Test { arg: 3, mask: 4, compare: Compare::AnySet }]),
    ];
    let program = compile_only(&[0, 1, 3], &refusals).unwrap();
    let table: &[(u32, [u64; 4], bool)] = &[
        (0, [7, 7, 7, 7], true),
        (1, [2, 9, 0, 9], true),
        (1, [10, 9, 0, 9], true),
        (1, [10 | 1 << 40, 9, 0, 9], true),
        (1, [1, 9, 0, 9], false),
        (1, [2, 9, 1, 9], false),
        (3, [0, 0, 0, 3], true),
        (3, [0, 0, 0, 6], false),
    ];
    for (number, [a, b, c, d], allowed) in table {
        let want = if *allowed { libc::SECCOMP_RET_ALLOW } else { libc::SECCOMP_RET_ERRNO | 1 };
        let found = interpret(program.instructions(), *number, NATIVE, &[*a, *b, *c, *d, 0, 0]).result;
        assert_eq!(found, want, "{number} {a} {b} {c} {d}");
    }
}

proptest! {
    #[test]
    fn program_and_table_agree(number in number(), args in uniform6(word()), modes in modes()) {
        let plan = plan(modes);
        let program = compile(&plan).unwrap();
        let run = interpret(program.instructions(), number, NATIVE, &args);
        prop_assert_eq!(run.result, expected(&plan, number, &args));
    }
}
