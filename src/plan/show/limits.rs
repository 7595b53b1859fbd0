//! The limits of a plan.

use super::{Line, show};
use crate::host::limits::Controller;
use crate::plan::Plan;
use crate::plan::limits::{Group, LimitPlan, Resource, ResourceLimit};
use crate::request::limits::{Amount, Cpus, Size};

/// What the command may use, and what counts it.
pub(super) fn lines(plan: &Plan) -> Vec<Line> {
    let LimitPlan { groups, each, pid_max, timeout, idle } = &plan.limits;
    let mut lines: Vec<_> = groups.iter().flat_map(of_group).collect();
    lines.extend(each.iter().map(of_each));
    if let Some(said) = pid_max {
        let what = format!("processes below number {}", said.value);
        lines.push(Line::new(what, "(pid_max of its PID namespace)", &said.by));
    }
    if let Some(said) = plan.confinement.as_ref().and_then(|confinement| confinement.mounts.tmpfs_size.as_ref()) {
        lines.push(Line::new(format!("file systems in memory up to {}", size(said.value)), "(tmpfs)", &said.by));
    }
    if let Some(said) = timeout {
        lines.push(Line::new("end after", format!("{:?}", said.value), &said.by));
    }
    if let Some(said) = idle {
        lines.push(Line::new("end when idle for", format!("{:?}", said.value), &said.by));
    }
    lines
}

/// What a controller's number means, in words.
#[must_use]
pub fn limit(of: Controller, value: u64) -> String {
    match of {
        Controller::Memory => format!("memory {}", size(value)),
        Controller::Pids => format!("processes {value}"),
        Controller::Cpu => format!("processors {}", Cpus(Amount::Of(value))),
    }
}

fn of_group(group: &Group) -> impl Iterator<Item = Line> {
    let place = format!("(control group in {})", show(&group.home));
    group.limits.iter().map(move |(of, said)| Line::new(limit(*of, said.value), place.clone(), &said.by))
}

fn of_each(limit: &ResourceLimit) -> Line {
    let ResourceLimit { what, value, because } = limit;
    let (what, how) = match what {
        Resource::Data => (format!("memory {}", size(*value)), "(RLIMIT_DATA of each process)"),
        Resource::Processes => (format!("processes {value}"), "(RLIMIT_NPROC of its user namespace)"),
        Resource::OpenFiles => (format!("open files {value}"), "(RLIMIT_NOFILE of each process)"),
        Resource::FileSize => (format!("size of a file {}", size(*value)), "(RLIMIT_FSIZE)"),
    };
    Line::new(what, how, because)
}

fn size(bytes: u64) -> Size {
    Size(Amount::Of(bytes))
}
