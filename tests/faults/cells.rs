//! The cells of the table: what happens where, and what may come of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::calls;
use crate::place::{CODE, Place, Ran};
use crate::ptrace::Entry;
use crate::tracer::{Act, PROBE, Point, Story};

pub struct Cell {
    pub name: String,
    pub point: Point,
    pub act: Act,
    /// What happens to whom, for the summary.
    pub kind: String,
    /// The codes that the run may end with.
    pub codes: Vec<i32>,
}

/// How long a process stays stopped.
const STOPPED: Duration = Duration::from_millis(30);

/// The names of processes, by their place in the tree.
pub fn names(story: &Story) -> BTreeMap<String, &'static str> {
    let command = story.programs.iter().find(|(_, program)| *program == PROBE).map(|(role, _)| role.clone()).unwrap();
    let did = |role: &str, call: i64| story.calls.iter().any(|(point, _)| point.role == role && point.call == call);
    let roles = story.calls.iter().map(|(point, _)| point.role.clone());
    let name = |role: &str| match role {
        "0" => "supervisor",
        role if role == command => "command before exec",
        role if command.rsplit_once('.').is_some_and(|(init, _)| init == role) => "init",
        role if command.starts_with(&format!("{role}.")) => "bwrap",
        role if did(role, libc::SYS_setsid) && did(role, libc::SYS_seccomp) => "bridge",
        role if did(role, libc::SYS_setsid) => "janitor",
        _ => "trial",
    };
    roles.map(|role| (role.clone(), name(&role))).collect()
}

/// Each call of each process with each of its errors.
pub fn errors(place: &Place, story: &Story) -> Vec<Cell> {
    let names = names(story);
    let cell = |point: &Point, errno: i32| {
        let (who, call) = (names[&point.role], calls::name(point.call));
        let error = calls::error_name(errno);
        Cell {
            name: format!("{place}: {who}: {call} {}: {error}", point.nth),
            point: point.clone(),
            act: Act::Error(errno),
            kind: format!("errors of {who}"),
            // What cannot be executed has a code of its own.
            codes: if point.call == libc::SYS_execve { vec![CODE, 125, 126] } else { vec![CODE, 125] },
        }
    };
    // bubblewrap asks neither whether its word to its child arrived nor whether its wait was interrupted.
    let trusts =
        |point: &Point| names[&point.role] == "bwrap" && [libc::SYS_write, libc::SYS_wait4].contains(&point.call);
    let each = |(point, entry): &(Point, Entry)| {
        calls::errors(point.call, entry).iter().map(|errno| cell(point, *errno)).collect::<Vec<_>>()
    };
    story.calls.iter().filter(|(point, _)| !trusts(point)).flat_map(each).collect()
}

/// At each step of each process: KILL of it, of the supervisor and of another one in turn; STOP and CONT of one in turn;
/// STOP of one in turn while the supervisor is killed.
pub fn signals(place: &Place, story: &Story) -> Vec<Cell> {
    let names = names(story);
    let victims: Vec<_> = names.iter().filter(|(_, name)| **name != "trial").collect();
    let mut cells = Vec::new();
    let steps = story.calls.iter().filter(|(point, entry)| calls::is_step(point.call, entry));
    for (turn, (point, _)) in steps.enumerate() {
        let at = format!("{place}: {}: {} {}", names[&point.role], calls::name(point.call), point.nth);
        let mut cell = |what: &str, victim: (&String, &&str), then: &[(&str, Duration, Signal)], codes: &[i32]| {
            let first = if what.starts_with("STOP") { Signal::STOP } else { Signal::KILL };
            let mut act = vec![(victim.0.clone(), Duration::ZERO, first)];
            act.extend(then.iter().map(|(role, after, signal)| ((*role).to_owned(), *after, *signal)));
            let kind = format!("{what} {}", victim.1);
            cells.push(Cell {
                name: format!("{at}: {kind}"),
                point: point.clone(),
                act: Act::Signals(act),
                kind,
                codes: codes.into(),
            });
        };
        let in_turn = |turn: usize| victims[turn % victims.len()];
        let killed: BTreeMap<_, _> =
            [&*point.role, "0", &**in_turn(turn).0].into_iter().map(|role| (role, ())).collect();
        for victim in victims.iter().filter(|(role, _)| killed.contains_key(role.as_str())) {
            cell("KILL of", *victim, &[], &[CODE, 125, 137]);
        }
        let victim = in_turn(turn + 1);
        cell("STOP and CONT of", victim, &[(victim.0, STOPPED, Signal::CONT)], &[CODE]);
        // Nobody has to go on who was stopped before he could say that he wants to.
        let victim = in_turn(turn + 2);
        let then = [("0", STOPPED, Signal::KILL), (victim.0, STOPPED * 3, Signal::CONT)];
        cell("STOP before the supervisor's death of", victim, &then, &[137, CODE]);
    }
    let at_exec = story.calls.iter().rev().find(|(point, _)| names[&point.role] == "command before exec");
    for (role, name) in at_exec.into_iter().flat_map(|_| &victims) {
        let point = at_exec.unwrap().0.clone();
        let kind = format!("STOP for good before the supervisor's death of {name}");
        let act = vec![(role.to_string(), Duration::ZERO, Signal::STOP), ("0".to_owned(), STOPPED, Signal::KILL)];
        cells.push(Cell {
            name: format!("{place}: {kind}"),
            point,
            act: Act::Signals(act),
            kind,
            codes: vec![137, CODE],
        });
    }
    cells
}

impl Cell {
    /// What is wrong with the run; `Ok(false)` when the point was not reached this time.
    pub fn check(&self, place: &Place) -> Result<bool, String> {
        let mut ran = place.run(Some((&self.point, &self.act)));
        if place.engine == "landlock" && self.kind == "KILL of init" {
            // SECURITY.md: what that leaves is not found.
            let below = PathBuf::from(place.lab.path("tmp"));
            ran.left.retain(|path| !path.starts_with(&below));
        }
        if ran.story.untied && self.kind == "STOP for good before the supervisor's death of bridge" {
            // Nobody can end whom somebody stops between his birth and his first call, when his parent is killed too.
            return Ok(false);
        }
        match place.judge(&ran, &self.codes).or_else(|| self.judge(&ran)) {
            Some(wrong) => Err(format!("{}\n    {wrong}\n    {:?}", self.name, ran.story)),
            None => Ok(ran.story.hit),
        }
    }

    /// An error of the start is told with its step and what the kernel said.
    fn judge(&self, ran: &Ran) -> Option<String> {
        let Act::Error(errno) = &self.act else { return None };
        // A look that failed may be followed by one that tells another cause.
        let told = [&*calls::error_name(*errno), "os error", "too many mounts"]
            .iter()
            .any(|words| ran.story.stderr.contains(words));
        // What bubblewrap's loader says of its own files is its own affair; so are its words about what failed, which may
        // mean that the plan is a stale one.
        let words = ["bwrap: ", "mount what was planned"];
        let ours = !self.name.contains(": bwrap: ") && !words.iter().any(|words| ran.story.stderr.contains(words));
        (ran.story.code == 125 && ours && !told)
            .then(|| format!("tells no cause, such as `{}`", calls::error_name(*errno)))
    }
}
