//! Writes a classic BPF program from its end to its beginning.
//!
//! Jumps only go forward, so from the end every target is known when the jump is written, and one pass is enough.
//! A conditional jump reaches over 255 instructions; a target beyond is brought near: a `RET` by writing it once more,
//! anything else by an unconditional jump, which reaches all of the program.

use super::SeccompError;
use libc::sock_filter;

const RET: u16 = code(libc::BPF_RET | libc::BPF_K);
const LOAD: u16 = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
const AND: u16 = code(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K);
const JUMP: u16 = code(libc::BPF_JMP | libc::BPF_JA);

/// How far the fields `jt` and `jf` reach.
const REACH: usize = u8::MAX as usize;

#[allow(clippy::cast_possible_truncation, reason = "opcodes are one byte, and the mask says so")]
const fn code(bits: u32) -> u16 {
    (bits & 0xff) as u16
}

/// An instruction that others go to: its place, counted from the end of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// The program so far, last instruction first.
#[derive(Debug)]
pub(super) struct Assembler {
    reversed: Vec<sock_filter>,
    /// The copy of each return value that was written last, so the one with the best chance of being near.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self { reversed: Vec::with_capacity(512), returns: Vec::with_capacity(8) }
    }

    /// Lets the call through.
    pub(super) fn allow(&mut self) -> Label {
        self.ret(libc::SECCOMP_RET_ALLOW)
    }

    /// Makes the call fail with this error number.
    pub(super) fn errno(&mut self, errno: u16) -> Label {
        self.ret(libc::SECCOMP_RET_ERRNO | u32::from(errno))
    }

    /// Makes the call wait for what the filter's listener says.
    pub(super) fn notify(&mut self) -> Label {
        self.ret(libc::SECCOMP_RET_USER_NOTIF)
    }

    /// Ends the process, all its threads, with `SIGSYS`.
    pub(super) fn kill(&mut self) -> Label {
        self.ret(libc::SECCOMP_RET_KILL_PROCESS)
    }

    /// Loads a word of `struct seccomp_data`, then goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Label) -> Result<Label, SeccompError> {
        self.straight(LOAD, offset, next)
    }

    /// Masks the loaded word, then goes on at `next`. A full mask takes no instruction.
    pub(super) fn and(&mut self, mask: u32, next: Label) -> Result<Label, SeccompError> {
        if mask == u32::MAX { Ok(next) } else { self.straight(AND, mask, next) }
    }

    /// Compares the loaded word with `value` by `BPF_JEQ`, `BPF_JGE` or `BPF_JSET`.
    pub(super) fn branch(&mut self, by: u32, value: u32, yes: Label, no: Label) -> Result<Label, SeccompError> {
        // What is written to bring `no` near pushes `yes` one further away.
        let yes = self.near(yes, 1)?;
        let no = self.near(no, 0)?;
        let (jt, jf) = (self.short_distance(yes)?, self.short_distance(no)?);
        Ok(self.push(sock_filter { code: code(libc::BPF_JMP | by | libc::BPF_K), jt, jf, k: value }))
    }

    /// The program in the order in which it runs.
    pub(super) fn finish(mut self) -> Result<Vec<sock_filter>, SeccompError> {
        let instructions = self.reversed.len();
        if i32::try_from(instructions).map_or(true, |count| count > libc::BPF_MAXINSNS) {
            return Err(SeccompError::TooLong { instructions });
        }
        self.reversed.reverse();
        Ok(self.reversed)
    }

    /// An instruction that runs on into `next`, which is made the one after it.
    fn straight(&mut self, code: u16, k: u32, next: Label) -> Result<Label, SeccompError> {
        if self.distance(next) != 0 {
            self.jump(next)?;
        }
        Ok(self.push(sock_filter { code, jt: 0, jf: 0, k }))
    }

    fn jump(&mut self, to: Label) -> Result<Label, SeccompError> {
        let distance = self.distance(to);
        let k = u32::try_from(distance).map_err(|_| SeccompError::JumpTooFar { distance })?;
        Ok(self.push(sock_filter { code: JUMP, jt: 0, jf: 0, k }))
    }

    fn ret(&mut self, value: u32) -> Label {
        if let Some((_, label)) = self.returns.iter().find(|(known, _)| *known == value) {
            return *label;
        }
        self.fresh_ret(value)
    }

    fn fresh_ret(&mut self, value: u32) -> Label {
        let label = self.push(sock_filter { code: RET, jt: 0, jf: 0, k: value });
        self.returns.retain(|(known, _)| *known != value);
        self.returns.push((value, label));
        label
    }

    /// A label with the same effect as `to`, in reach of a conditional jump with `between` more instructions before it.
    fn near(&mut self, to: Label, between: usize) -> Result<Label, SeccompError> {
        if self.distance(to) + between <= REACH {
            return Ok(to);
        }
        let target = self.reversed.get(to.0).filter(|target| target.code == RET).map(|target| target.k);
        let Some(value) = target else { return self.jump(to) };
        let latest = self.ret(value);
        Ok(if self.distance(latest) + between <= REACH { latest } else { self.fresh_ret(value) })
    }

    /// How many instructions lie between the next one to be written and `to`.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len() - 1 - to.0
    }

    fn short_distance(&self, to: Label) -> Result<u8, SeccompError> {
        let distance = self.distance(to);
        u8::try_from(distance).map_err(|_| SeccompError::JumpTooFar { distance })
    }

    fn push(&mut self, instruction: sock_filter) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len() - 1)
    }
}
