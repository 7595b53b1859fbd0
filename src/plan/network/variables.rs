//! The variables by which programs find ringfence's own proxy.

use std::ffi::{OsStr, OsString};

use super::{NetworkPlan, managed};
use crate::plan::env::EnvPlan;
use crate::request::Origin;

/// Names of the variables with the proxy's address, and the programs that read them. HTTP also where SOCKS could stand:
/// libraries without a part for SOCKS refuse to start when they see it, and the port speaks both.
const ADDRESSES: &[(&str, &str)] = &[
    ("HTTP_PROXY", "most programs"),
    ("http_proxy", "most programs; curl reads no other"),
    ("HTTPS_PROXY", "most programs"),
    ("https_proxy", "most programs"),
    ("ALL_PROXY", "curl, Go, uv"),
    ("all_proxy", "curl, uv"),
    ("WS_PROXY", "libraries of web sockets"),
    ("ws_proxy", "libraries of web sockets"),
    ("WSS_PROXY", "libraries of web sockets"),
    ("wss_proxy", "libraries of web sockets"),
    ("npm_config_proxy", "npm, over its own configuration"),
    ("npm_config_https_proxy", "npm, over its own configuration"),
    ("YARN_HTTP_PROXY", "yarn, over its own configuration"),
    ("YARN_HTTPS_PROXY", "yarn, over its own configuration"),
    ("PIP_PROXY", "pip, over its own configuration"),
    ("CARGO_HTTP_PROXY", "cargo, over its own configuration"),
    ("grpc_proxy", "gRPC"),
    ("DOCKER_HTTP_PROXY", "Docker's builder"),
    ("DOCKER_HTTPS_PROXY", "Docker's builder"),
];

/// What the sandbox itself serves is reached without a proxy.
const DIRECT: &str = "localhost,127.0.0.1,::1";

/// Names of the variables with what is reached directly.
const NO_PROXY: &[&str] = &["NO_PROXY", "no_proxy", "npm_config_noproxy"];

/// Sets what a plan of the network needs; what the user said of a variable, as `said` knows, is left alone.
pub fn set(plan: &NetworkPlan, env: &mut EnvPlan, said: &dyn Fn(&OsStr) -> bool) {
    let mut set = |name: &OsStr, value: OsString, by: &Origin| {
        if !said(name) {
            env.set(name, value, by.clone());
        }
    };
    for rewritten in &plan.rewritten {
        let by = Origin::Baseline("the proxy's door inside has this address");
        set(&rewritten.name, rewritten.value().into(), &by);
    }
    let Some(door) = plan.filter() else { return };
    let address = format!("http://127.0.0.1:{}", door.port);
    for (name, _) in ADDRESSES {
        set(OsStr::new(name), address.clone().into(), &door.because);
    }
    for name in NO_PROXY {
        set(OsStr::new(name), DIRECT.into(), &door.because);
    }
    // Node from 22.21 and 24 on heeds the variables where it is asked to.
    set(OsStr::new("NODE_USE_ENV_PROXY"), "1".into(), &door.because);
    of_git(&address, env, &door.because);
}

/// `http.proxy` of git's configuration would win over the variables.
fn of_git(address: &str, env: &mut EnvPlan, by: &Origin) {
    let name = OsStr::new("GIT_CONFIG_COUNT");
    let count: usize = env.vars.get(name).and_then(|count| count.to_str()?.parse().ok()).unwrap_or(0);
    let known = (0..count).find(|number| {
        let key = env.vars.get(OsStr::new(&format!("GIT_CONFIG_KEY_{number}")));
        key.is_some_and(|key| key.eq_ignore_ascii_case("http.proxy"))
    });
    let number = known.unwrap_or(count);
    env.set(format!("GIT_CONFIG_KEY_{number}"), "http.proxy", by.clone());
    env.set(format!("GIT_CONFIG_VALUE_{number}"), address, by.clone());
    env.set(name, count.max(number + 1).to_string(), by.clone());
}

/// Takes out what names a proxy that cannot be reached.
pub fn drop_others(plan: &NetworkPlan, env: &mut EnvPlan, said: &dyn Fn(&OsStr) -> bool) {
    let kept = |name: &OsStr| plan.rewritten.iter().any(|rewritten| rewritten.name == name);
    let others = |name: &&OsString| managed::is_proxy_variable(name) && !kept(name) && !said(name);
    let others: Vec<_> = env.vars.keys().filter(others).cloned().collect();
    for name in others {
        env.drop(&name, Origin::Baseline("what it names cannot be reached"));
    }
}
