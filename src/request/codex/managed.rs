//! `--managed-network`: everything that leaves the sandbox goes through a proxy of Codex's.

use serde::Deserialize;

use super::{CodexError, json};
use crate::request::{Net, Origin, Request, Said};

/// The flag of this generation.
const FLAG: &str = "--managed-network";

/// What may be said about it.
///
/// Shape: a JSON object; `{}` switches it on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Managed {
    /// The only ports that the proxy may have; empty: any.
    loopback_ports: Vec<u16>,
    /// Of no effect: the sandbox has a loopback interface of its own, where everything can be bound.
    #[allow(dead_code, reason = "taken because callers say it")]
    allow_local_binding: bool,
    /// Of no effect on Linux, as in the reference.
    allow_unix_sockets: Vec<String>,
    /// Whether unix sockets can be made at all. Those of the host stay out of reach.
    dangerously_allow_all_unix_sockets: bool,
}

/// Has a request lead through the proxies that the variables name. `text` is the value of the flag, `None` where the
/// generation before has no value.
///
/// # Errors
/// What is wrong with the text.
pub fn managed(request: &mut Request, text: Option<&str>) -> Result<(), CodexError> {
    let flag = if text.is_some() { FLAG } else { "--allow-network-for-proxy" };
    let managed = match text {
        Some(text) if !text.trim_start().starts_with('{') => {
            let message = "a managed network is a JSON object".to_owned();
            return Err(CodexError::Parse { place: FLAG.to_owned(), message });
        }
        Some(text) => json(text, FLAG)?,
        None => Managed::default(),
    };
    let by = Origin::Flag(flag);
    let Managed { loopback_ports, allow_local_binding: _, allow_unix_sockets, dangerously_allow_all_unix_sockets } =
        managed;
    request.net = Some(Said::new(Net::Proxy, by.clone()));
    if !loopback_ports.is_empty() {
        request.reach.proxy_ports = Some(Said::new(loopback_ports, by.clone()));
    }
    if !dangerously_allow_all_unix_sockets {
        request.reach.no_unix = Some(Said::new(true, by));
    }
    if !allow_unix_sockets.is_empty() {
        request.notes.push(format!("{FLAG}: allowUnixSockets has no effect on Linux"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: Option<&str>) -> Result<(Option<Vec<u16>>, bool, usize), String> {
        let mut request = Request::default();
        managed(&mut request, text).map_err(|error| error.to_string())?;
        assert_eq!(request.net.map(|said| said.value), Some(Net::Proxy));
        let reach = request.reach;
        Ok((reach.proxy_ports.map(|said| said.value), reach.no_unix.is_some(), request.notes.len()))
    }

    #[test]
    fn everything_that_callers_say_is_known_and_nothing_else() {
        assert_eq!(read(None), Ok((None, true, 0)));
        assert_eq!(read(Some("{}")), Ok((None, true, 0)));
        assert_eq!(read(Some(r#"{"loopbackPorts":[]}"#)), Ok((None, true, 0)));
        assert_eq!(read(Some(r#" {"loopbackPorts":[1,2],"allowLocalBinding":true}"#)), Ok((Some(vec![1, 2]), true, 0)));
        assert_eq!(read(Some(r#"{"dangerouslyAllowAllUnixSockets":true}"#)), Ok((None, false, 0)));
        assert_eq!(read(Some(r#"{"allowUnixSockets":["/x"]}"#)), Ok((None, true, 1)));
        for (text, word) in [
            (r#"{"loopback_ports":[1]}"#, "unknown field"),
            (r#"{"loopbackPorts":[65536]}"#, "65536"),
            (r#"{"loopbackPorts":1}"#, "expected a sequence"),
            ("[]", "JSON object"),
            ("", "JSON object"),
            ("{", "EOF"),
        ] {
            assert!(read(Some(text)).is_err_and(|message| message.contains(word)), "{text}");
        }
    }
}
