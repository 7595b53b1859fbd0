//! Bytes that are not looked into, but for the name that TLS asks for: who was let to one host must not ask that for
//! another one, which the same machine may serve.

use std::cell::Cell;
use std::io;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::doors::ended;
use super::filter::{Goal, Stop, Visit};
use super::kept::Kept;
use super::relay;
use super::stream::Stream;
use super::tls::{Hello, LARGEST_HELLO, UNRECOGNIZED_NAME, asks_again, client_hello, hello_end, passed_over};
use crate::policy::net::host::Host;

/// Carries both directions; `said` is what the client has said already.
///
/// # Errors
/// A name that is not that of the goal, and what goes wrong on the way.
pub(super) async fn tunnel(visit: &Visit<'_>, goal: &Goal, server: &Stream, said: Vec<u8>) -> Result<(), Stop> {
    let refused = Cell::new(None);
    let (verdict, again) = oneshot::channel();
    let (heard, may_answer) = oneshot::channel();
    let spoken = Cell::new(None);
    let up = async {
        let done = go_up(visit, goal, server, said, (heard, again, &spoken)).await;
        done.unwrap_or_else(|stop| {
            refused.set(Some(stop));
            Err(io::ErrorKind::PermissionDenied.into())
        })
    };
    let down = async {
        // Where only some methods are allowed, what is no TLS gets no word of the server's either.
        if visit.dialer.rules.methods.is_some() && may_answer.await.is_err() {
            return std::future::pending().await;
        }
        go_down(visit, server, verdict, &spoken).await
    };
    let carried = visit.traffic.watch(&visit.shared.patience, relay::join(up, down)).await;
    match refused.take() {
        Some(stop) => {
            server.end();
            visit.farewell(&UNRECOGNIZED_NAME).await;
            Err(stop)
        }
        None => Ok(carried.or_else(ended)?),
    }
}

/// Tells that the client may be answered, hears whether the server asks for another hello, and tells whether the client
/// speaks TLS, once it has spoken.
type Lines<'a> = (oneshot::Sender<()>, oneshot::Receiver<bool>, &'a Cell<Option<bool>>);

/// What the client says, with the names in it looked at. The outer error is a refusal.
async fn go_up(
    visit: &Visit<'_>,
    goal: &Goal,
    server: &Stream,
    said: Vec<u8>,
    (heard, again, spoken): Lines<'_>,
) -> Result<io::Result<()>, Stop> {
    let work = async {
        let mut said = match greet(visit, goal, said).await? {
            Ok(said) => said,
            Err(stop) => return Ok(Err(stop)),
        };
        let _the_server_may_be_gone = heard.send(());
        let end = hello_end(&said);
        spoken.set(Some(end.is_some()));
        // Only the hello itself, until it is clear that it is the one that counts.
        if let Some(end) = end {
            let rest = said.split_off(end);
            pass_on(visit, server, &said).await?;
            said = rest;
            if again.await.unwrap_or(false) {
                match timeout(visit.shared.patience.head, hear_again(visit, goal, said)).await?? {
                    Ok(second) => said = second,
                    Err(stop) => return Ok(Err(stop)),
                }
            }
        }
        pass_on(visit, server, &said).await?;
        drop(said);
        relay::up(&visit.client, server, &visit.traffic).await.map(Ok)
    };
    match work.await {
        Ok(Err(stop)) => Err(stop),
        Ok(Ok(())) => Ok(Ok(())),
        Err(error) => Ok(Err(error)),
    }
}

async fn pass_on(visit: &Visit<'_>, server: &Stream, said: &[u8]) -> io::Result<()> {
    server.write_all(said).await?;
    visit.traffic.count(&visit.traffic.up, said.len());
    Ok(())
}

/// What the server says; whether it asks for another hello is told before the client can know it.
async fn go_down(
    visit: &Visit<'_>,
    server: &Stream,
    verdict: oneshot::Sender<bool>,
    spoken: &Cell<Option<bool>>,
) -> io::Result<()> {
    let mut first = Vec::new();
    let mut kept = Kept::default();
    let again = loop {
        let found = match spoken.get() {
            // What comes before the hello is no answer to it.
            None => {
                answer(visit, &first).await?;
                first.clear();
                None
            }
            Some(true) => asks_again(&first),
            Some(false) => Some(false),
        };
        match found {
            Some(again) => break again,
            None if first.len() > LARGEST_HELLO || server.read_kept(&mut first, &mut kept).await? == 0 => break false,
            None => {}
        }
    };
    // The client may be gone, or speak no TLS.
    let _nobody_may_wait = verdict.send(again);
    answer(visit, &first).await?;
    drop((first, kept));
    relay::down(&visit.client, server, &visit.traffic).await
}

async fn answer(visit: &Visit<'_>, said: &[u8]) -> io::Result<()> {
    visit.client.write_all(said).await?;
    visit.traffic.count(&visit.traffic.down, said.len());
    Ok(())
}

/// Reads until it is clear whether this is TLS, and for whom. Servers that speak first are not kept waiting, and nobody has
/// to say anything; but who has begun must come to the end.
async fn greet(visit: &Visit<'_>, goal: &Goal, mut said: Vec<u8>) -> io::Result<Result<Vec<u8>, Stop>> {
    if said.is_empty() {
        let first = visit.client.read_more(&mut said);
        let limited = visit.dialer.rules.methods.is_some();
        let read = if limited { timeout(visit.shared.patience.head, first).await?? } else { first.await? };
        if read == 0 {
            return Ok(Ok(said));
        }
    }
    timeout(visit.shared.patience.head, hear(visit, goal, said)).await?
}

async fn hear(visit: &Visit<'_>, goal: &Goal, mut said: Vec<u8>) -> io::Result<Result<Vec<u8>, Stop>> {
    let mut kept = Kept::default();
    loop {
        match client_hello(&said) {
            Hello::Incomplete => {}
            hello => return Ok(judge(visit, goal, hello).map(|()| said)),
        }
        if visit.client.read_kept(&mut said, &mut kept).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The second hello, which must be one, behind what the server passes over.
async fn hear_again(visit: &Visit<'_>, goal: &Goal, mut said: Vec<u8>) -> io::Result<Result<Vec<u8>, Stop>> {
    let mut kept = Kept::default();
    loop {
        match passed_over(&said).map(|at| client_hello(said.get(at..).unwrap_or_default())) {
            None | Some(Hello::Incomplete) => {}
            Some(Hello::NotTls) => return Ok(Err(refuse("bad-client-hello", "another hello was asked for"))),
            Some(hello) => return Ok(judge(visit, goal, hello).map(|()| said)),
        }
        if said.len() > 2 * LARGEST_HELLO {
            return Ok(Err(refuse("bad-client-hello", "another hello was asked for")));
        }
        if visit.client.read_kept(&mut said, &mut kept).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether what a client begins with may go on.
fn judge(visit: &Visit<'_>, goal: &Goal, hello: Hello) -> Result<(), Stop> {
    let rules = &visit.dialer.rules;
    match hello {
        Hello::NotTls if rules.methods.is_some() => {
            Err(refuse("method", "only some methods of HTTP are allowed, and what is not TLS may be another one"))
        }
        Hello::Name(Some(name)) if !is_for(&name, &goal.host) => {
            Err(refuse("sni-mismatch", "TLS asks for another name than the client did"))
        }
        Hello::Name(Some(name)) if Host::parse(&name).is_ok_and(|name| rules.denies(&name, goal.port)) => {
            Err(refuse("denied", "TLS asks for a name that is denied"))
        }
        Hello::Incomplete | Hello::NotTls | Hello::Name(_) => Ok(()),
        Hello::Bad(why) => Err(refuse("bad-client-hello", why)),
    }
}

fn refuse(code: &'static str, why: &str) -> Stop {
    Stop::Fault { status: 403, code, message: why.to_owned(), denied: true }
}

/// An address that the rules name may have any name.
fn is_for(name: &str, host: &Host) -> bool {
    matches!(host, Host::Address(_)) || Host::parse(name).is_ok_and(|name| name == *host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_rules_compare_them() {
        let host = |text: &str| Host::parse(text).unwrap();
        for (name, goal, want) in [
            ("pypi.org", "pypi.org", true),
            ("PyPI.org", "pypi.org.", true),
            ("pypi.org.evil.test", "pypi.org", false),
            ("files.pypi.org", "pypi.org", false),
            ("192.0.2.1", "pypi.org", false),
            ("anything.test", "192.0.2.1", true),
            ("", "pypi.org", false),
        ] {
            assert_eq!(is_for(name, &host(goal)), want, "{name} for {goal}");
        }
    }
}
