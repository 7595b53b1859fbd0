//! `ringfence plan` and `ringfence why`: what would be done, without doing it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::flags::Flags;
use super::report::{Problem, plain, print, problems};
use super::run::prepare;
use crate::host::paths::{PathFact, Root};
use crate::plan::show::effective;
use crate::plan::{show, why};
use crate::policy::paths::{Access, normal};

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print only what differs from the policy as it is written, one line a path.
    #[arg(long, conflicts_with = "json")]
    diff: bool,
    /// Print a tree of what may be touched, for people.
    #[arg(long, conflicts_with_all = ["json", "diff"])]
    tree: bool,
    /// Print a page for a browser that shows what may be touched; it stands alone and runs nothing.
    #[arg(long, conflicts_with_all = ["json", "diff", "tree"])]
    html: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Prints the plan; the result is the exit code.
pub fn plan(mut args: PlanArgs) -> i32 {
    let openshell = args.flags.take_output_format();
    match prepare(args.flags) {
        Ok((_, plan)) if args.diff => print(&effective::diff(&plan)),
        Ok((_, plan)) if args.tree => print(&show::outline(&plan)),
        Ok((_, plan)) if args.html => print(&show::page(&plan)),
        Ok((policy, plan)) if openshell && !args.json => print(&effective::openshell(&plan, &policy)),
        Ok((_, plan)) if args.json => print(&format!("{:#}\n", show::json(&plan))),
        Ok((_, plan)) => print(&show::text(&plan)),
        Err(found) => return problems(&found),
    }
    0
}

/// Options of `why`.
#[derive(Debug, Args)]
#[command(override_usage = "ringfence why [OPTIONS] PATH\n       ringfence why [OPTIONS] --write PATH")]
pub struct WhyArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Answers for one path; the result is the exit code: 0 yes, 1 no.
pub fn why(mut args: WhyArgs) -> i32 {
    let Some((path, writing)) = args.flags.take_question() else {
        let hint = Some("ringfence why [OPTIONS] PATH, or ringfence why [OPTIONS] --write PATH".to_owned());
        return problems(&[Problem::new("why asks about one path, which stands last", hint)]).min(2);
    };
    let (_, plan) = match prepare(args.flags) {
        Ok(prepared) => prepared,
        Err(found) => return problems(&found),
    };
    let canonical = canonical(&path);
    let answer = why::why(&plan, &canonical);
    let yes = if writing { answer.access.writes() } else { answer.access >= Access::Read };
    let why::Answer { access, at, line, because, by: _, is_missing: _ } = answer;
    let asked = std::path::absolute(&path).unwrap_or(path);
    if args.json {
        let (access, asked, at) = (access.to_string(), asked.to_string_lossy(), at.to_string_lossy());
        let answer = serde_json::json!({
            "path": asked, "allowed": yes, "access": access, "at": at, "line": line, "because": because,
        });
        print(&format!("{answer:#}\n"));
        return i32::from(!yes);
    }
    let verdict = if yes { "yes" } else { "no" };
    print(&format!(
        "{verdict}: {}\n  access: {access}\n  decided at: {} ({line})\n  because: {}\n",
        show::show(&asked),
        show::show(&at),
        plain(&because)
    ));
    i32::from(!yes)
}

/// Where a path leads, as the plan names it.
pub fn canonical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let normal = normal(&absolute);
    match Root::open(Path::new("/")).map(|root| root.look(&normal)) {
        Ok(PathFact::Present(present)) => present.path,
        Ok(PathFact::Missing { parent, name }) => parent.join(name),
        _ => normal,
    }
}
