//! `ringfence gpus --probe`: this program again, as the command of a sandbox that is made as `run` makes it.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use super::{check, columns, preflight};
use crate::backend::StepError;
use crate::cli::flags::Flags;
use crate::cli::report::{OURS, Problem, note, plain, print, problems};
use crate::cli::run::{prepare, prepare_policy};
use crate::host::gpu::libraries;
use crate::host::gpu::loader::Question;
use crate::plan::Plan;
use crate::plan::choose::Engine;
use crate::plan::mounts::Mount;
use crate::policy::Policy;
use crate::probe::{self, Finding, Report, Task, Verdict};
use crate::supervise;
use crate::supervise::outcome::{Ending, Outcome};
use crate::sys;

/// The name under which this program is the probe.
pub const NAME: &str = "ringfence-probe";

/// The last line of a probe that came to its end.
const END: &str = "end";

/// A driver that hangs is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whose libraries the probe starts.
const QUESTIONS: &[Question<'_>] = &[Question::Cuda, Question::Hsa, Question::LevelZero, Question::Vulkan];

/// Takes the steps, as the command of a sandbox; the result is the exit code.
pub fn inside() -> i32 {
    let told = std::env::args().nth(1);
    let Some(task) = told.and_then(|told| serde_json::from_str::<Task>(&told).ok()) else {
        let what = format!("{NAME} is started by ringfence gpus --probe, inside a sandbox");
        return problems(&[Problem::new(what, None)]).min(2);
    };
    probe::run(&task, &mut |report| print(&format!("{}\n", serde_json::to_string(report).unwrap_or_default())));
    print(&format!("{END}\n"));
    0
}

/// Runs the probe and prints what it found; the result is the exit code: 0 where nothing is wrong.
pub fn probe(mut flags: Flags, json: bool) -> i32 {
    flags.end_after(PATIENCE);
    let (policy, plan) = match prepare(flags) {
        Ok(prepared) => prepared,
        Err(found) => return problems(&found).min(1),
    };
    for warning in &plan.choice.warnings {
        note(warning);
    }
    // A file may call nodes as it likes.
    let by_wish = check::nodes(&plan).any(|(op, _)| preflight::is_of_gpu(op));
    let gpu = by_wish || task(&policy, &plan).gpu();
    let engine = match plan.choice.engine {
        _ if plan.confinement.is_none() => "none",
        Engine::Native => "native",
        Engine::Bwrap { .. } => "bwrap",
        Engine::Landlock => "landlock",
    };
    let (outcome, text) = match run(&policy, plan) {
        Ok(ran) => ran,
        Err(found) => return problems(&found).min(1),
    };
    let (reports, ended) = read(&text);
    let fault = fault(&outcome, ended, reports.last());
    let wrong = reports.iter().any(|report| report.finding.verdict == Verdict::Wrong) || fault.is_some();
    if json {
        let fault = fault.as_ref().map(|problem| &problem.what);
        let view = serde_json::json!({ "engine": engine, "gpu": gpu, "steps": reports, "fault": fault });
        print(&format!("{view:#}\n"));
    } else {
        print(&table(&reports, gpu));
    }
    if let Some(fault) = fault {
        problems(&[fault]);
    }
    i32::from(wrong)
}

/// What the probe has to know of a policy and its plan.
fn task(policy: &Policy, plan: &Plan) -> Task {
    let ops = || plan.confinement.iter().flat_map(|confinement| &confinement.mounts.ops);
    let names: Vec<_> = QUESTIONS.iter().map(Question::library).collect();
    let found = libraries::find(Path::new("/"), &names);
    Task {
        granted: check::nodes(plan).map(|(op, _)| op.target.clone()).collect(),
        unconfined: plan.confinement.is_none(),
        mps: policy.gpu_class.value.mps.is_some(),
        everything: plan.confinement.is_none() || ops().any(|op| op.what == Mount::Devices),
        outside: probe::FAMILIES.iter().filter(|path| Path::new(path).exists()).map(ToString::to_string).collect(),
        descriptors: plan.process.pass_fd.clone(),
        libraries: found.into_iter().map(|library| library.name).collect(),
    }
}

/// Runs this program in the place of a command, and collects what it prints.
fn run(policy: &Policy, mut plan: Plan) -> Result<(Outcome, Vec<u8>), Vec<Problem>> {
    let fail = |what: &str, error: std::io::Error| vec![Problem::new(format!("{what}: {error}"), None)];
    let program = own_image().map_err(|error| fail("copy this program to memory", error))?;
    let streams = Streams::redirect().map_err(|error| fail("redirect the standard streams", error))?;
    make_probe(policy, &mut plan, &program);
    let mut outcome = supervise::run(&plan, None, None);
    if outcome.as_ref().is_err_and(StepError::is_stale) {
        plan = prepare_policy(policy.clone())?.1;
        make_probe(policy, &mut plan, &program);
        outcome = supervise::run(&plan, None, None);
    }
    let text = streams.restore().map_err(|error| fail("read what the probe says", error))?;
    Ok((outcome.map_err(|error| vec![error.into()])?, text))
}

fn make_probe(policy: &Policy, plan: &mut Plan, program: &OwnedFd) {
    let told = serde_json::to_string(&task(policy, plan)).unwrap_or_default();
    plan.process.command = vec![NAME.into(), told.into()];
    plan.process.program = Some(program.as_raw_fd());
}

/// This program, where no path of it has to be visible: in memory, or as it is where the kernel executes nothing there.
fn own_image() -> std::io::Result<OwnedFd> {
    let exe = rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    std::fs::File::from(exe.try_clone()?).read_to_end(&mut bytes)?;
    Ok(sys::program::image(NAME, &bytes).unwrap_or(exe))
}

/// Standard input is empty and standard output a pipe of ours, until they are given back.
struct Streams {
    stdout: OwnedFd,
    answer: OwnedFd,
}

/// What the probe says fits into a pipe: nobody reads before its end.
const PIPE: usize = 1 << 20;

impl Streams {
    fn redirect() -> std::io::Result<Self> {
        let (answer, pipe) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // A smaller pipe is enough for all but very many GPUs.
        sys::ignore(rustix::pipe::fcntl_setpipe_size(&pipe, PIPE));
        let stdout = sys::fd::borrow_if_open(1).ok_or(rustix::io::Errno::BADF)?;
        let stdout = rustix::io::fcntl_dupfd_cloexec(stdout, 3)?;
        sys::fd::replace_by_null(0)?;
        sys::fd::duplicate_onto(pipe.as_fd(), 1)?;
        Ok(Self { stdout, answer })
    }

    fn restore(self) -> std::io::Result<Vec<u8>> {
        sys::fd::duplicate_onto(self.stdout.as_fd(), 1)?;
        // Whoever was left behind and holds the other end is not waited for.
        rustix::io::ioctl_fionbio(&self.answer, true)?;
        let mut text = Vec::new();
        match std::fs::File::from(self.answer).read_to_end(&mut text) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(text),
        }
    }
}

/// The reports, and whether the probe came to its end.
fn read(text: &[u8]) -> (Vec<Report>, bool) {
    let text = String::from_utf8_lossy(text);
    let reports = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (reports, text.lines().any(|line| line == END))
}

/// Why the probe itself did not come to its end.
fn fault(outcome: &Outcome, ended: bool, last: Option<&Report>) -> Option<Problem> {
    if ended && outcome.code() == 0 {
        return None;
    }
    let after = last.map_or_else(|| "before its first step".to_owned(), |report| format!("after step {}", report.step));
    let how = match &outcome.ending {
        _ if outcome.expired.is_some() => "was ended by the time-out".to_owned(),
        Ending::NotExecuted(error) => error.to_string(),
        Ending::Exit(OURS) => "failed".to_owned(),
        Ending::Exit(code) => format!("ended with {code}"),
        Ending::Signal(signal) => format!("was killed by signal {signal}"),
        Ending::Failed(error) => error.to_string(),
    };
    Some(Problem::new(format!("the probe did not come to its end: {after}: {how}"), None))
}

fn table(reports: &[Report], gpu: bool) -> String {
    let mut text = String::new();
    if !gpu {
        text += "no GPU is granted: only steps that need none\n\n";
    }
    let word = |verdict| match verdict {
        Verdict::Ok => "ok",
        Verdict::Tolerated => "tolerated",
        Verdict::Wrong => "WRONG",
    };
    let row = |report: &Report| {
        let Report { step, operation, finding: Finding { outcome, verdict, meaning: _ } } = report;
        vec![step.clone(), operation.clone(), word(*verdict).to_owned(), plain(outcome)]
    };
    text += &columns(&reports.iter().map(row).collect::<Vec<_>>());
    let told = |wanted| {
        let these = reports.iter().filter(move |report| report.finding.verdict == wanted);
        these.filter_map(move |report| {
            let meaning = plain(report.finding.meaning.as_deref()?);
            Some(format!("{} {}: {meaning}\n", word(wanted), report.step))
        })
    };
    let meanings: String = told(Verdict::Wrong).chain(told(Verdict::Tolerated)).collect();
    if !meanings.is_empty() {
        text += &format!("\n{meanings}");
    }
    let wrong = reports.iter().filter(|report| report.finding.verdict == Verdict::Wrong).count();
    let sum = if wrong == 0 {
        "nothing is wrong".to_owned()
    } else {
        format!("{wrong} of {} steps are wrong", reports.len())
    };
    text + &format!("\n{sum}\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn report(step: &str, finding: Finding) -> Report {
        Report { step: step.to_owned(), operation: format!("do {step}"), finding }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let reports = [report("1", Finding::ok("ok")), report("16", Finding::wrong("EACCES", "comm"))];
        let mut text: String = reports.iter().map(|report| serde_json::to_string(report).unwrap() + "\n").collect();
        text.insert_str(0, "a library's words\n");
        assert_eq!(read(text.as_bytes()), (reports.to_vec(), false));
        text += "end\n";
        assert_eq!(read(text.as_bytes()), (reports.to_vec(), true));
    }

    #[test]
    fn the_table_says_what_is_wrong_first() {
        let reports = [
            report("fds", Finding::ok("none")),
            report("11", Finding::tolerated("ENOENT", "no profiling")),
            report("16", Finding::wrong("EACCES", "comm cannot be written")),
        ];
        expect![[r"
            no GPU is granted: only steps that need none

            fds  do fds  ok         none
            11   do 11   tolerated  ENOENT
            16   do 16   WRONG      EACCES

            WRONG 16: comm cannot be written
            tolerated 11: no profiling

            1 of 3 steps are wrong
        "]]
        .assert_eq(&table(&reports, false));
        assert!(table(&reports[..2], true).ends_with("\nnothing is wrong\n"));
    }

    #[test]
    fn a_probe_that_ends_early_is_a_fault() {
        let outcome = |ending| Outcome {
            ending,
            expired: None,
            hits: Vec::new(),
            network: None,
            network_lost: false,
            seen: Vec::new(),
        };
        assert!(fault(&outcome(Ending::Exit(0)), true, None).is_none());
        for ending in [Ending::Exit(0), Ending::Exit(125), Ending::Signal(11)] {
            let last = report("4", Finding::ok("ok"));
            let told = fault(&outcome(ending), false, Some(&last)).expect("a fault").what;
            assert!(told.contains("after step 4"), "{told}");
        }
    }
}
