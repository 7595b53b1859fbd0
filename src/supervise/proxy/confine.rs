//! The bridge reads what hostile programs and servers send: it keeps for itself only what it needs.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use rustix::process::{Resource, Rlimit};

use crate::backend::StepError;
use crate::backend::confine::capabilities;
use crate::backend::confine::seccomp::{Refusal, compile_only};
use crate::plan::network::{Endpoint, Leads, NetworkPlan};
use crate::plan::syscalls::{Compare, Test};
use crate::policy::net::rule::Ports;
use crate::sys;

/// What the bridge calls. Everything else fails.
const CALLS: &[libc::c_long] = &[
    // Connections.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_close,
    // Waiting.
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Memory and randomness of the allocator, of hash tables and of DNS.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_brk,
    libc::SYS_getrandom,
    // The end, and a panic's way to it.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
];

/// How much memory it may take: what thousands of connections need is far below.
const MEMORY: u64 = 1 << 30;

/// Gives up what is not needed.
///
/// # Errors
/// The step that failed: what parses hostile bytes does not do it unconfined.
pub fn confine(plan: &NetworkPlan) -> Result<(), StepError> {
    let step = |name: &'static str| move |error: rustix::io::Errno| StepError::new(name, None, error);
    limit(Resource::As, MEMORY).map_err(step("limit the bridge's memory"))?;
    limit(Resource::Core, 0).map_err(step("switch the bridge's core dumps off"))?;
    capabilities::drop_all(false).map_err(|error| StepError::new("drop the bridge's capabilities", None, error))?;
    rustix::thread::set_no_new_privs(true).map_err(step("set no_new_privs for the bridge"))?;
    wall(plan)?;
    let program = compile_only(CALLS, &refusals(plan)).map_err(|error| StepError {
        step: format!("compile the bridge's seccomp filter: {error}").into(),
        path: None,
        errno: libc::EINVAL,
    })?;
    sys::seccomp::load_filter(program.instructions())
        .map_err(|error| StepError::new("load the bridge's seccomp filter", None, error))
}

/// Sockets of TCP and UDP, and unix ones only where the plan leads to one: Landlock knows no ports of other protocols.
fn refusals(plan: &NetworkPlan) -> Vec<Refusal> {
    let none_of = |arg, values: &[i32]| {
        let other = |value: &i32| Test { arg, mask: u32::MAX, compare: Compare::IsNot(value.cast_unsigned()) };
        values.iter().map(other).collect::<Vec<_>>()
    };
    let any_of = |arg, flags: i32| vec![Test { arg, mask: flags.cast_unsigned(), compare: Compare::AnySet }];
    let inet = [libc::AF_INET, libc::AF_INET6];
    let unix = sockets(plan).next().map(|_| libc::AF_UNIX);
    let families: Vec<_> = inet.into_iter().chain(unix).collect();
    vec![
        (libc::SYS_socket, none_of(0, &families)),
        (libc::SYS_socket, none_of(2, &[0, libc::IPPROTO_TCP, libc::IPPROTO_UDP])),
        // It connects without a word to connect(2).
        (libc::SYS_sendto, any_of(3, libc::MSG_FASTOPEN)),
        (libc::SYS_sendmsg, any_of(2, libc::MSG_FASTOPEN)),
    ]
}

/// Raises the limit of open files as far as it goes: each connection takes two.
pub fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    sys::ignore(rustix::process::setrlimit(Resource::Nofile, raised));
}

fn limit(what: Resource, bytes: u64) -> Result<(), rustix::io::Errno> {
    let least = |known: Option<u64>| Some(known.map_or(bytes, |known| known.min(bytes)));
    let Rlimit { current, maximum } = rustix::process::getrlimit(what);
    rustix::process::setrlimit(what, Rlimit { current: least(current), maximum: least(maximum) })
}

/// No file at all, and only ports that the plan leads to. Kernels without Landlock have the other walls.
fn wall(plan: &NetworkPlan) -> Result<(), StepError> {
    let fail = |error: landlock::RulesetError| StepError {
        step: format!("build the bridge's landlock ruleset: {error}").into(),
        path: None,
        errno: StepError::TOLD,
    };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V9))
        .and_then(|ruleset| ruleset.scope(Scope::Signal | Scope::AbstractUnixSocket))
        .map_err(fail)?;
    let ports = ports(plan);
    if ports.is_some() {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp | AccessNet::BindTcp).map_err(fail)?;
    }
    let mut created = ruleset.create().map_err(fail)?;
    for port in ports.into_iter().flatten() {
        created = created.add_rule(NetPort::new(port, AccessNet::ConnectTcp)).map_err(fail)?;
    }
    for directory in sockets(plan) {
        // What is not there when the bridge starts cannot be connected to later either, where the kernel can tell.
        let Ok(directory) = PathFd::new(directory) else { continue };
        created = created.add_rule(PathBeneath::new(directory, AccessFs::ResolveUnix)).map_err(fail)?;
    }
    created.restrict_self().map(drop).map_err(fail)
}

/// The directories of the sockets that it has to connect to.
fn sockets(plan: &NetworkPlan) -> impl Iterator<Item = &Path> {
    plan.doors.iter().filter_map(|door| match &door.leads {
        Leads::Proxy(Endpoint::Unix(path)) => path.parent(),
        _ => None,
    })
}

/// DNS by TCP, where an answer is too long for a datagram.
const DNS: u16 = 53;

/// The ports that it has to connect to, where they are known.
fn ports(plan: &NetworkPlan) -> Option<Vec<u16>> {
    let NetworkPlan { doors, publish, hosts, rewritten: _, transparent: _ } = plan;
    let mut ports: Vec<u16> = publish.iter().map(|pair| pair.value.inside).collect();
    for door in doors {
        match &door.leads {
            Leads::Proxy(endpoint) => ports.extend(endpoint.port()),
            Leads::Port(port) => ports.push(*port),
            Leads::Filter => {
                ports.push(DNS);
                for rule in &hosts.allow {
                    match rule.value.target.ports {
                        Ports::Web => ports.extend([80, 443]),
                        Ports::One(port) => ports.push(port),
                        Ports::All => return None,
                    }
                }
            }
        }
    }
    Some(ports)
}
