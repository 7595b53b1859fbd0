//! One request in plain HTTP and its answer.

use std::io;

use super::doors::ended;
use super::filter::{Goal, LAST_WORDS, Stop, Visit};
use super::http::{self, Body, Chunked, Request, Response, ResponseBody, Side};
use super::kept::Kept;
use super::stream::Stream;

/// So many answers before the answer: with 100 and 103 a server has few to send.
const INTERIM: usize = 16;

/// Carries a request to a server that the rules allow, and the answer back. `said` is what the client has said of the
/// body already.
///
/// # Errors
/// Why there is no answer, or no whole one.
pub(super) async fn exchange(
    visit: &Visit<'_>,
    goal: &Goal,
    (request, kept): (Request, Kept),
    said: Vec<u8>,
) -> Result<(), Stop> {
    let server = &visit.dial(goal, Some(&request.method)).await?;
    let (body, asked) = (request.body, request.asked);
    let work = async {
        forward(visit, goal, (request, kept), server).await?;
        let answer = receive(visit, asked, server);
        let send = async {
            // A server may have heard enough: then its answer says so.
            send(visit, body, server, said).await?;
            left(visit).await
        };
        // With the whole answer there, nobody needs the rest of the body.
        tokio::select! {
            done = answer => done,
            failed = send => failed,
        }
    };
    visit.traffic.watch(&visit.shared.patience, async { Ok(work.await) }).await??;
    visit.farewell(&[]).await;
    Ok(())
}

/// The head, which nobody needs afterwards.
async fn forward(
    visit: &Visit<'_>,
    goal: &Goal,
    (request, kept): (Request, Kept),
    server: &Stream,
) -> Result<(), Stop> {
    let authority = if goal.port == 80 { goal.host.to_string() } else { format!("{}:{}", goal.host, goal.port) };
    let head = request.upstream(&authority);
    drop(request);
    server.write_all(&head).await?;
    visit.traffic.count(&visit.traffic.up, head.len());
    drop(kept);
    Ok(())
}

/// The body of the request, as it is.
async fn send(visit: &Visit<'_>, body: Body, server: &Stream, said: Vec<u8>) -> Result<(), Stop> {
    match body {
        Body::None => Ok(()),
        Body::Length(length) => {
            let first = first(&said, length);
            let done = async {
                server.write_all(first).await?;
                visit.traffic.count(&visit.traffic.up, first.len());
                let left = length - first.len() as u64;
                let sent = visit.traffic.upward(&visit.client, server).carry(left).await?;
                if sent < left { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
            };
            Ok(done.await.or_else(ended)?)
        }
        Body::Chunked => {
            let count = &mut |bytes| visit.traffic.count(&visit.traffic.up, bytes);
            match chunks(Side::Client, (&visit.client, server), said, count).await {
                Err(Stop::Gone(error)) => Ok(ended(error)?),
                done => done,
            }
        }
    }
}

/// Waits for the client to leave, for an error if it does so all at once. Without that, a server that does not answer
/// would be waited for as if somebody still were interested. A client that has only ended its side can still read.
async fn left(visit: &Visit<'_>) -> Result<(), Stop> {
    let (mut more, mut room) = (Vec::new(), LAST_WORDS);
    while room > 0 {
        more.clear();
        let read = visit.client.read_more(&mut more).await?;
        if read == 0 {
            visit.traffic.half_close();
            break;
        }
        // Another request, which is not served.
        room = room.saturating_sub(read);
    }
    std::future::pending().await
}

/// At most so many bytes of what is there.
fn first(said: &[u8], length: u64) -> &[u8] {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(said.len());
    said.get(..length).unwrap_or_default()
}

/// Passes chunks on as they are, to the end that they say.
async fn chunks(
    side: Side,
    (from, to): (&Stream, &Stream),
    mut said: Vec<u8>,
    count: &mut dyn FnMut(usize),
) -> Result<(), Stop> {
    let mut chunked = Chunked::new(side);
    loop {
        let length = chunked.feed(&said)?;
        to.write_all(said.get(..length).unwrap_or_default()).await?;
        count(length);
        if chunked.is_done() {
            return Ok(());
        }
        said.clear();
        if from.read_more(&mut said).await? == 0 {
            return Err(closed(side));
        }
    }
}

/// Somebody has closed before the end of what he had to say.
fn closed(side: Side) -> Stop {
    match side {
        Side::Client => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
        Side::Server => Stop::Fault {
            status: 502,
            code: "closed",
            message: "the server closed the connection before the end of its answer".to_owned(),
            denied: false,
        },
    }
}

/// The answer: its head written anew, its body as it is.
async fn receive(visit: &Visit<'_>, asked: http::Asked, server: &Stream) -> Result<(), Stop> {
    let (client, traffic) = (&visit.client, &visit.traffic);
    let mut said = Vec::new();
    let mut interim = 0;
    let answer = loop {
        let answer = head(&mut said, server, asked).await?;
        let rest = said.split_off(answer.head_length);
        said = rest;
        client.write_all(&answer.client).await?;
        traffic.count(&traffic.down, answer.client.len());
        if !answer.interim {
            visit.answered.set(true);
            break answer;
        }
        interim += 1;
        if interim > INTERIM {
            return Err(Stop::Fault {
                status: 502,
                code: "too-many-interim",
                message: "the server sends interim answers without end".to_owned(),
                denied: false,
            });
        }
    };
    let body = answer.body;
    // It may be long, and the body may come for hours.
    drop(answer);
    match body {
        ResponseBody::None => Ok(()),
        ResponseBody::Chunked => {
            let count = &mut |bytes| traffic.count(&traffic.down, bytes);
            chunks(Side::Server, (server, client), said, count).await
        }
        ResponseBody::Length(length) => {
            let received = plain(visit, server, said, length).await?;
            if received < length { Err(closed(Side::Server)) } else { Ok(()) }
        }
        ResponseBody::UntilClose => plain(visit, server, said, u64::MAX).await.map(drop),
    }
}

async fn head(said: &mut Vec<u8>, server: &Stream, asked: http::Asked) -> Result<Response, Stop> {
    let mut kept = Kept::default();
    loop {
        if let Some(answer) = http::response(said, asked)? {
            return Ok(answer);
        }
        if server.read_kept(said, &mut kept).await? == 0 {
            return Err(closed(Side::Server));
        }
    }
}

async fn plain(visit: &Visit<'_>, server: &Stream, said: Vec<u8>, length: u64) -> Result<u64, Stop> {
    let (client, traffic) = (&visit.client, &visit.traffic);
    let first = first(&said, length);
    client.write_all(first).await?;
    traffic.count(&traffic.down, first.len());
    let left = length - first.len() as u64;
    Ok(first.len() as u64 + traffic.downward(server, client).carry(left).await?)
}
