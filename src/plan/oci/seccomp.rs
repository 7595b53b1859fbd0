//! The system call filter in OCI's words.
//!
//! Ours asks several questions about one argument and takes the first row that applies. OCI's runtimes take several
//! questions about one argument as alternatives, and leave open which of two entries counts. So each row is cut into
//! entries that ask once about an argument, and that never overlap: what `argument & mask == value` says of all six
//! arguments is a cube, and cubes can be subtracted from each other.

use super::spec::{Arg, Seccomp, Syscall};
use crate::plan::syscalls::{Compare, Row, SyscallPlan, Test};

/// For each argument the bits that count, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cube([(u32, u32); 6]);

impl Cube {
    /// All arguments there are.
    const ALL: Self = Self([(0, 0); 6]);

    /// One argument's bits under a mask have this value; `None`: they never do.
    fn one(arg: u8, mask: u32, value: u32) -> Option<Self> {
        let mut cube = Self::ALL;
        *cube.0.get_mut(usize::from(arg))? = (mask, value);
        (value & !mask == 0).then_some(cube)
    }

    /// What is in both.
    fn and(self, other: Self) -> Option<Self> {
        let mut both = self;
        for ((mask, value), (more, bits)) in both.0.iter_mut().zip(other.0) {
            if (*value ^ bits) & *mask & more != 0 {
                return None;
            }
            (*mask, *value) = (*mask | more, *value | bits);
        }
        Some(both)
    }

    /// What is not in the other, in parts that do not overlap.
    fn without(self, other: Self) -> Vec<Self> {
        if self.and(other).is_none() {
            return vec![self];
        }
        let mut rest = self;
        let mut parts = Vec::new();
        for arg in 0..6 {
            let ((mask, _), (more, bits)) = (self.0[arg], other.0[arg]);
            for bit in (0..32).rev().map(|shift| 1_u32 << shift).filter(|bit| more & !mask & bit != 0) {
                let mut part = rest;
                part.0[arg].0 |= bit;
                part.0[arg].1 |= !bits & bit;
                parts.push(part);
                rest.0[arg].0 |= bit;
                rest.0[arg].1 |= bits & bit;
            }
        }
        parts
    }

    fn args(self) -> Vec<Arg> {
        let asked = self.0.into_iter().enumerate().filter(|(_, (mask, _))| *mask != 0);
        asked
            .map(|(index, (mask, value))| Arg {
                index,
                value: mask.into(),
                value_two: value.into(),
                op: "SCMP_CMP_MASKED_EQ",
            })
            .collect()
    }
}

/// Takes away from each what another has.
fn less(cubes: Vec<Cube>, other: Cube) -> Vec<Cube> {
    cubes.into_iter().flat_map(|cube| cube.without(other)).collect()
}

/// The arguments for which a test is true.
fn narrowed(cubes: Vec<Cube>, test: &Test) -> Vec<Cube> {
    let Test { arg, mask, compare } = *test;
    let unless = |value| match Cube::one(arg, mask, value) {
        Some(other) => less(cubes.clone(), other),
        None => cubes.clone(),
    };
    match compare {
        Compare::Is(value) => {
            let one = Cube::one(arg, mask, value);
            cubes.iter().filter_map(|cube| cube.and(one?)).collect()
        }
        Compare::IsNot(value) => unless(value),
        Compare::AnySet => unless(0),
    }
}

fn applies(row: &Row) -> Vec<Cube> {
    row.tests.iter().fold(vec![Cube::ALL], narrowed)
}

/// The entries of a filter, and the names of what OCI cannot name: numbers of another ABI.
pub(super) fn filter(plan: &SyscallPlan) -> (Seccomp, Vec<&'static str>) {
    let (named, numbers): (Vec<&Row>, Vec<&Row>) = plan.rows.iter().copied().partition(|row| row.first == row.last);
    let mut syscalls: Vec<Syscall> = Vec::new();
    for (index, row) in named.iter().enumerate() {
        let Some(errno_ret) = row.action.errno() else { continue };
        let earlier = named.iter().take(index).filter(|earlier| earlier.call == row.call);
        let decided: Vec<Cube> = earlier.flat_map(|earlier| applies(earlier)).collect();
        for cube in decided.into_iter().fold(applies(row), less) {
            let args = cube.args();
            match syscalls
                .iter_mut()
                .find(|known| args.is_empty() && known.args.is_empty() && known.errno_ret == errno_ret)
            {
                Some(known) => known.names.push(row.call),
                None => syscalls.push(Syscall { names: vec![row.call], action: "SCMP_ACT_ERRNO", errno_ret, args }),
            }
        }
    }
    let filter = Seccomp { default_action: "SCMP_ACT_ALLOW", architectures: vec![ARCHITECTURE], syscalls };
    (filter, numbers.into_iter().map(|row| row.call).collect())
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "SCMP_ARCH_X86_64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "SCMP_ARCH_AARCH64";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::syscalls::{Modes, plan};

    /// What libseccomp makes of entries that do not overlap.
    fn decisions(filter: &Seccomp, call: &str, args: &[u64; 6]) -> Vec<u16> {
        let holds = |arg: &Arg| args[arg.index] & arg.value == arg.value_two;
        let applies = |entry: &&Syscall| entry.names.contains(&call) && entry.args.iter().all(holds);
        filter.syscalls.iter().filter(applies).map(|entry| entry.errno_ret).collect()
    }

    /// Every value that a test names, those beside it, and a few single bits.
    fn words(rows: &[&Row], arg: usize) -> Vec<u64> {
        let tests = rows.iter().flat_map(|row| row.tests).filter(|test| usize::from(test.arg) == arg);
        let named = tests.flat_map(|test| match test.compare {
            Compare::Is(value) | Compare::IsNot(value) => vec![value, value ^ 1, value.wrapping_add(1), test.mask],
            Compare::AnySet => vec![test.mask, !test.mask, test.mask & test.mask.wrapping_neg()],
        });
        let mut words: Vec<u64> = named.chain([0, u32::MAX]).map(u64::from).collect();
        if words.len() > 2 {
            words.extend([0, 3, 5, 16, 31].map(|shift| 1 << shift));
            words.push(0xdead_beef_0000_0001);
        }
        words.sort_unstable();
        words.dedup();
        words
    }

    #[test]
    fn each_call_is_decided_as_by_our_own_filter_and_by_one_entry_at_most() {
        let mut denied = 0_u32;
        let open = Modes { unix_sockets: false, own_processes: false, own_ipc: false, ..Modes::STRICT };
        for modes in
            [Modes::STRICT, Modes::DEBUGGING, open, Modes { own_network: false, connects: true, ..Modes::STRICT }]
        {
            let plan = plan(modes);
            let (filter, _) = filter(&plan);
            for row in plan.rows.iter().filter(|row| row.first == row.last) {
                let rows: Vec<&Row> = plan.rows.iter().copied().filter(|other| other.call == row.call).collect();
                let mut all = vec![[0_u64; 6]];
                for arg in 0..6 {
                    let words = words(&rows, arg);
                    all = all
                        .iter()
                        .flat_map(|args| {
                            words
                                .iter()
                                .map(|word| {
                                    let mut args = *args;
                                    args[arg] = *word;
                                    args
                                })
                                .collect::<Vec<_>>()
                        })
                        .collect();
                }
                for args in all {
                    let want: Vec<u16> =
                        plan.decision(row.first, &args).and_then(|row| row.action.errno()).into_iter().collect();
                    denied += u32::from(!want.is_empty());
                    assert_eq!(decisions(&filter, row.call, &args), want, "{}{args:x?}", row.call);
                }
            }
        }
        assert!(denied > 1000, "{denied} are too few to mean something");
    }

    #[test]
    fn an_entry_asks_once_about_an_argument_and_numbers_are_told() {
        let (filter, numbers) = filter(&plan(Modes::STRICT));
        for entry in &filter.syscalls {
            let mut asked: Vec<usize> = entry.args.iter().map(|arg| arg.index).collect();
            asked.dedup();
            assert_eq!(asked.len(), entry.args.len(), "{entry:?}");
        }
        // The kernel takes 4096 instructions; libseccomp makes some three of each question.
        assert!(filter.syscalls.len() < 200, "{}", filter.syscalls.len());
        assert_eq!(numbers.is_empty(), !cfg!(target_arch = "x86_64"));
    }
}
