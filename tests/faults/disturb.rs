//! A machine that changes while a sandbox starts and runs: entries are replaced and removed, signals come in bursts.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Pid, Signal, kill_process};

use crate::place::Place;

/// Somebody else's doing, from the start of a run until its end.
pub struct Disturbance {
    pub name: &'static str,
    /// The codes that the run may end with; 7 is the command's own.
    pub codes: &'static [i32],
    /// How long the command waits before it looks, in milliseconds.
    pub stay: u32,
    act: fn(&Path, i32, &AtomicBool),
}

const PAUSE: Duration = Duration::from_micros(700);

/// What is watched from outside is covered again some tenths of a second after the start: see SECURITY.md.
const WATCHED: u32 = 400;

pub const DISTURBANCES: &[Disturbance] = &[
    Disturbance {
        name: "a burst of WINCH, CHLD and CONT",
        codes: &[7],
        stay: 80,
        act: |_, pid, over| {
            burst(&[Signal::WINCH, Signal::CHILD, Signal::CONT], pid, over);
        },
    },
    Disturbance {
        name: "a burst of TSTP and CONT",
        codes: &[7],
        stay: 80,
        act: |_, pid, over| {
            burst(&[Signal::TSTP, Signal::CONT, Signal::CONT], pid, over);
        },
    },
    Disturbance {
        name: "a burst of TERM",
        codes: &[7, 143, 137],
        stay: 80,
        act: |_, pid, over| {
            burst(&[Signal::TERM], pid, over);
        },
    },
    Disturbance {
        name: "a burst of INT",
        codes: &[7, 130],
        stay: 80,
        act: |_, pid, over| {
            burst(&[Signal::INT], pid, over);
        },
    },
    Disturbance {
        name: "a burst of HUP",
        codes: &[7, 129, 137],
        stay: 80,
        act: |_, pid, over| {
            burst(&[Signal::HUP], pid, over);
        },
    },
    Disturbance {
        name: "a burst of everything",
        codes: &[7, 129, 130, 143, 137],
        stay: 80,
        act: |_, pid, over| {
            burst(
                &[Signal::TSTP, Signal::CONT, Signal::WINCH, Signal::INT, Signal::TERM, Signal::CONT, Signal::HUP],
                pid,
                over,
            );
        },
    },
    Disturbance {
        name: "a denied file replaced while starting",
        codes: &[7, 125],
        stay: WATCHED,
        act: |lab, _, over| {
            while_starting(lab, over, |turn| {
                fs::write(lab.join("fresh"), format!("kept {turn}")).unwrap();
                fs::rename(lab.join("fresh"), lab.join("secret")).unwrap();
            });
        },
    },
    Disturbance {
        name: "a denied directory exchanged while starting",
        codes: &[7, 125],
        stay: WATCHED,
        act: |lab, _, over| {
            while_starting(lab, over, |_| exchange(&lab.join("closed"), &lab.join("spare/closed")));
        },
    },
    Disturbance {
        name: "the workspace exchanged while starting",
        codes: &[7, 98, 125],
        stay: 0,
        act: |lab, _, over| {
            while_starting(lab, over, |_| exchange(&lab.join("work"), &lab.join("spare/work")));
        },
    },
    Disturbance {
        name: "the workspace removed while starting",
        codes: &[7, 98, 125],
        stay: 0,
        act: |lab, _, _| {
            std::thread::sleep(Duration::from_millis(9));
            remove(lab);
        },
    },
    Disturbance {
        name: "the workspace removed while running",
        codes: &[7, 98, 125],
        stay: 300,
        act: |lab, _, over| {
            while !lab.join("work/started").exists() && !over.load(Ordering::Relaxed) {
                std::thread::sleep(PAUSE);
            }
            remove(lab);
        },
    },
];

impl Disturbance {
    /// What went wrong.
    pub fn check(&self, place: &Place, round: u32) -> Result<(), String> {
        let ran = place.disturbed(self.stay, self.act);
        match place.judge(&ran, self.codes) {
            Some(wrong) => Err(format!("{place}: {} ({round})\n    {wrong}\n    {:?}", self.name, ran.story)),
            None => Ok(()),
        }
    }
}

fn burst(signals: &[Signal], pid: i32, over: &AtomicBool) {
    let pid = Pid::from_raw(pid).unwrap();
    for signal in signals.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        // It may have ended, but not been waited for.
        let _gone = kill_process(pid, *signal);
        std::thread::sleep(PAUSE);
    }
}

/// Again and again until the command has begun, and then to the end of an even turn.
fn while_starting(lab: &Path, over: &AtomicBool, act: impl Fn(u32)) {
    let begun = || ["work/started", "spare/work/started"].iter().any(|name| lab.join(name).exists());
    let mut turn = 0;
    while turn % 2 == 1 || !(begun() || over.load(Ordering::Relaxed)) {
        act(turn);
        turn += 1;
        std::thread::sleep(PAUSE);
    }
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

/// Others may still be making things there.
fn remove(lab: &Path) {
    for _ in 0..20 {
        if fs::remove_dir_all(lab.join("work")).is_ok() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}
