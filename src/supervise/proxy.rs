//! The bridge: a process outside the sandbox that the listening sockets inside are handed to. It accepts what connects
//! there, and takes it where its door leads. There is nothing of it in the sandbox.
//!
//! It runs in one thread, the only one of this program that has a runtime, and is started after the sandbox was cloned.

pub mod address;
mod confine;
mod dial;
mod doors;
pub mod events;
mod exchange;
mod filter;
pub mod http;
mod kept;
pub mod kind;
mod published;
pub mod relay;
pub mod resolver;
pub mod socks;
mod stream;
pub mod tls;
mod tunnel;

use std::fs::File;
use std::io;
use std::rc::Rc;

use tokio::task::LocalSet;

use crate::backend::StepError;
use crate::backend::child::WayOut;
use crate::plan::network::{Leads, NetworkPlan};
use dial::{Dialer, Names, Routes};
use doors::Doors;
use events::{Events, Summary};
use relay::Patience;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    plan: NetworkPlan,
    /// Where the rules are asked; `None` where no door asks for it.
    dialer: Option<Dialer>,
    events: Events,
    patience: Patience,
}

/// Serves until the sandbox has ended.
///
/// # Errors
/// The step of the start that failed. Nothing was served then.
pub(super) fn serve(plan: &NetworkPlan, way_out: WayOut, log: Option<File>) -> Result<Summary, StepError> {
    let step = |name: &'static str| move |error: io::Error| StepError::new(name, None, error);
    confine::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(step("start the bridge's runtime"))?;
    let _inside = runtime.enter();
    let dialer = match plan.doors.iter().any(|door| door.leads == Leads::Filter) {
        true => Some(Dialer {
            rules: plan.hosts.clone(),
            names: Names::of_system().map_err(step("read how names are resolved"))?,
            routes: Routes::new().ok(),
        }),
        false => None,
    };
    let events = Events::new(log);
    let shared = Rc::new(Shared { plan: plan.clone(), dialer, events, patience: Patience::USUAL });
    let tasks = LocalSet::new();
    let doors = Doors::new(Rc::clone(&shared), way_out).map_err(step("take the line to init"))?;
    confine::confine(plan)?;
    tasks.block_on(&runtime, doors.serve());
    // Connections that are still there are recorded when they go.
    drop(tasks);
    Ok(shared.events.summary())
}
