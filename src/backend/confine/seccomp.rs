//! From a [`SyscallPlan`] to a program for the kernel's classic BPF machine.
//!
//! The program checks the architecture, then finds the call's number in a binary search tree over ranges of numbers,
//! and only then, for the few calls that need it, loads arguments. When a filter is loaded, the kernel runs it once for
//! each number without arguments; the numbers that come out as allowed skip the filter from then on. So a call that
//! no row names costs nothing at all, and loading stays cheap because a search takes some eight steps, not a hundred.

mod assembler;

#[cfg(test)]
mod kernel_tests;
#[cfg(test)]
mod tests;

use crate::plan::syscalls::{Compare, Row, SyscallPlan, Test};
use assembler::{Assembler, Label};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("seccomp filters are written for x86_64 and aarch64: add the AUDIT_ARCH_* value of this architecture");

/// `AUDIT_ARCH_X86_64` of linux/audit.h: the ELF machine, 64 bits, little endian.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_AARCH64` of linux/audit.h. Big-endian kernels use the same value.
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// Where the fields of `struct seccomp_data` lie.
#[allow(clippy::cast_possible_truncation, reason = "all below 64")]
mod offset {
    use libc::seccomp_data;
    use std::mem::offset_of;
    pub(super) const NUMBER: u32 = offset_of!(seccomp_data, nr) as u32;
    pub(super) const ARCH: u32 = offset_of!(seccomp_data, arch) as u32;
    pub(super) const ARGS: u32 = offset_of!(seccomp_data, args) as u32;
    /// From an argument to its low 32 bits.
    pub(super) const LOW_WORD: u32 = if cfg!(target_endian = "big") { 4 } else { 0 };
}

/// Why a plan could not be compiled. Both mean a mistake in the table, never in what the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    /// Two rows claim some, but not the same, numbers.
    #[error("the system call rows `{first}` and `{second}` overlap")]
    Overlap {
        /// The row with the lower number.
        first: &'static str,
        /// The row that begins inside it.
        second: &'static str,
    },
    /// The kernel takes 4096 instructions at most.
    #[error("the system call filter has {instructions} instructions, and the kernel takes 4096")]
    TooLong {
        /// How many there are.
        instructions: usize,
    },
    /// A jump does not fit its field.
    #[error("the system call filter jumps over {distance} instructions, too far for one jump")]
    JumpTooFar {
        /// How far it would go.
        distance: usize,
    },
}

/// A program that the kernel accepts as a seccomp filter.
#[derive(Debug, Clone)]
pub struct Program(Vec<libc::sock_filter>);

impl Program {
    /// The instructions, as [`crate::sys::seccomp::load_filter`] takes them.
    #[must_use]
    pub fn instructions(&self) -> &[libc::sock_filter] {
        &self.0
    }
}

/// Numbers from `start` up to the start of the next range, and where the program goes for them.
struct Range {
    start: u32,
    leaf: Label,
}

/// Compiles the plan. The same plan gives the same program; it takes a few microseconds.
///
/// Calls of a foreign architecture kill the process: their numbers mean other calls, so no error code would be honest,
/// and a command that needs them cannot run anyway. x32 numbers are rows of the table and fail with `ENOSYS` like any
/// call that does not exist, which is what kernels without that ABI answer.
///
/// # Errors
/// [`SeccompError`], only if the table itself is wrong.
///
/// Source: seccomp(2); Documentation/userspace-api/seccomp_filter.rst; `seccomp_is_const_allow` in kernel/seccomp.c
/// (Linux 5.11) for what keeps a call out of the filter altogether.
pub fn compile(plan: &SyscallPlan) -> Result<Program, SeccompError> {
    let mut asm = Assembler::new();
    let ranges = ranges(&mut asm, plan)?;
    finish(asm, &ranges)
}

/// A call that is refused where all of these hold.
pub type Refusal = (libc::c_long, Vec<Test>);

/// Compiles a list of calls, for processes of our own: every other call fails with `EPERM`, and so does one of them that is
/// refused.
///
/// # Errors
/// [`SeccompError::TooLong`] for a list that no process of ours has.
pub fn compile_only(calls: &[libc::c_long], refusals: &[Refusal]) -> Result<Program, SeccompError> {
    let mut asm = Assembler::new();
    let mut calls: Vec<u32> = calls.iter().filter_map(|call| u32::try_from(*call).ok()).collect();
    calls.sort_unstable();
    let mut ranges = Vec::with_capacity(2 * calls.len() + 1);
    let mut next = Some(0);
    for call in calls {
        if next.is_some_and(|next| next < call) {
            push(&mut ranges, next, asm.errno(EPERM));
        }
        let refused = refusals.iter().filter(|(refused, _)| u32::try_from(*refused) == Ok(call));
        let leaf = refused.map(|(_, tests)| tests).try_fold(asm.allow(), |otherwise, tests| {
            let end = asm.errno(EPERM);
            tests.iter().rev().try_fold(end, |then, test| question(&mut asm, test, then, otherwise))
        })?;
        push(&mut ranges, Some(call), leaf);
        next = call.checked_add(1);
    }
    push(&mut ranges, next, asm.errno(EPERM));
    finish(asm, &ranges)
}

const EPERM: u16 = 1;

/// In front of the search, the check that the numbers mean what they should.
fn finish(mut asm: Assembler, ranges: &[Range]) -> Result<Program, SeccompError> {
    let search = tree(&mut asm, ranges)?;
    let native = asm.load(offset::NUMBER, search)?;
    let kill = asm.kill();
    let arch = asm.branch(libc::BPF_JEQ, NATIVE, native, kill)?;
    asm.load(offset::ARCH, arch)?;
    asm.finish().map(Program)
}

/// Cuts all numbers into ranges with one fate each, in ascending order from 0.
fn ranges(asm: &mut Assembler, plan: &SyscallPlan) -> Result<Vec<Range>, SeccompError> {
    let mut rows = plan.rows.clone();
    // Stable: the rows of one call keep their order, because the first that applies counts.
    rows.sort_by_key(|row| row.first);
    rows.windows(2).try_for_each(refuse_overlap)?;
    let mut ranges = Vec::with_capacity(2 * rows.len() + 1);
    let mut next = Some(0);
    for group in rows.chunk_by(|a, b| a.first == b.first) {
        let [Row { first, last, .. }, ..] = *group else { continue };
        if next.is_some_and(|next| next < *first) {
            let leaf = asm.allow();
            push(&mut ranges, next, leaf);
        }
        let leaf = checks(asm, plan, group)?;
        push(&mut ranges, Some(*first), leaf);
        next = last.checked_add(1);
    }
    let leaf = asm.allow();
    push(&mut ranges, next, leaf);
    Ok(ranges)
}

/// Two neighbours in ascending order have the same numbers or none in common.
fn refuse_overlap(pair: &[&Row]) -> Result<(), SeccompError> {
    match *pair {
        [a, b] if b.first <= a.last && (a.first, a.last) != (b.first, b.last) => {
            Err(SeccompError::Overlap { first: a.call, second: b.call })
        }
        _ => Ok(()),
    }
}

/// Adds a range, unless the one before ends the same way.
fn push(ranges: &mut Vec<Range>, start: Option<u32>, leaf: Label) {
    if let Some(start) = start
        && ranges.last().is_none_or(|range| range.leaf != leaf)
    {
        ranges.push(Range { start, leaf });
    }
}

/// The search over a run of ranges: the middle one decides which half to go on with.
fn tree(asm: &mut Assembler, ranges: &[Range]) -> Result<Label, SeccompError> {
    match ranges {
        [] => Ok(asm.allow()),
        [range] => Ok(range.leaf),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let pivot = high.first().map_or(0, |range| range.start);
            let high = tree(asm, high)?;
            let low = tree(asm, low)?;
            asm.branch(libc::BPF_JGE, pivot, high, low)
        }
    }
}

/// What happens to the calls of one number: the rows one after the other, then allow.
fn checks(asm: &mut Assembler, plan: &SyscallPlan, rows: &[&Row]) -> Result<Label, SeccompError> {
    let mut otherwise = asm.allow();
    for row in rows.iter().rev() {
        let end = match row.action.errno() {
            Some(errno) if !plan.is_noted(row) => asm.errno(errno),
            Some(_) | None => asm.notify(),
        };
        otherwise = row.tests.iter().rev().try_fold(end, |then, test| question(asm, test, then, otherwise))?;
    }
    Ok(otherwise)
}

/// One test: on to `then` if it holds, else to `otherwise`.
fn question(asm: &mut Assembler, test: &Test, then: Label, otherwise: Label) -> Result<Label, SeccompError> {
    let compare = match test.compare {
        Compare::AnySet => asm.branch(libc::BPF_JSET, test.mask, then, otherwise)?,
        Compare::Is(value) => {
            let equal = asm.branch(libc::BPF_JEQ, value, then, otherwise)?;
            asm.and(test.mask, equal)?
        }
        Compare::IsNot(value) => {
            let equal = asm.branch(libc::BPF_JEQ, value, otherwise, then)?;
            asm.and(test.mask, equal)?
        }
    };
    asm.load(offset::ARGS + 8 * u32::from(test.arg) + offset::LOW_WORD, compare)
}
