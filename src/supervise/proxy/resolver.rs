//! For programs that know nothing of proxies: a resolver that gives each allowed name an address of a pool, and listening
//! sockets on that address. What connects there is led to the name. There is no other DNS: a name that no rule allows is
//! not asked for anywhere, so nothing can be told to anybody by asking.

pub mod question;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, UdpSocket as Datagrams};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::Shared;
use super::doors::{Doors, accept, listener};
use super::events::{Decision, Event};
use super::filter::{Goal, Stop, Visit};
use super::stream::Stream;
use super::tunnel;
use crate::backend::network::POOL;
use crate::policy::net::HostRules;
use crate::policy::net::host::Host;
use crate::policy::net::rule::Ports;
use question::{Answer, Question};

/// So many names have addresses. Each has sockets of its own.
const MOST: u32 = 512;

/// The longest question that is read: more than a name and what comes with it.
const LONGEST: usize = 4096;

/// How long a client that asks by TCP may take for a question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which name has which address.
#[derive(Debug, Default)]
pub(super) struct Pool {
    known: RefCell<HashMap<Host, Ipv4Addr>>,
    /// Whether the socket for datagrams has come, which is the first.
    has_datagrams: std::cell::Cell<bool>,
}

impl Pool {
    /// Serves a socket of init's: first comes the one for datagrams, then the one for connections.
    pub(super) fn serve(self: &Rc<Self>, doors: &Rc<Doors>, socket: OwnedFd) {
        let (pool, of) = (Rc::clone(self), Rc::clone(doors));
        if !self.has_datagrams.replace(true) {
            if let Ok(socket) = UdpSocket::from_std(Datagrams::from(socket)) {
                spawn_local(datagrams(pool, of, socket));
            }
        } else if let Ok(listener) = listener(socket) {
            let ask = move |client| connection(Rc::clone(&pool), Rc::clone(&of), client);
            spawn_local(accept(listener, doors.places(), ask));
        }
    }

    async fn answer(&self, doors: &Rc<Doors>, question: &Question) -> Answer {
        let shared = doors.shared();
        let Some(dialer) = &shared.dialer else { return Answer::Failure };
        let Ok(host @ Host::Name(_)) = Host::parse(&question.name()) else { return Answer::NoName };
        let ports = ports(&dialer.rules, &host);
        if ports.is_empty() {
            if question.is_about_a_host()
                && let Err(refusal) = dialer.rules.by_name(&host, WEB, None)
            {
                let goal = Goal { host, port: 0, protocol: "dns" };
                record(shared, &goal, Decision::Denied, refusal.code(), refusal.allow_with());
            }
            return Answer::NoName;
        }
        if !question.is_for_address() {
            return Answer::Nothing;
        }
        let known = self.known.borrow().get(&host).copied();
        match known {
            Some(address) => Answer::Address(address),
            None => self.give(doors, host, &ports).await,
        }
    }

    /// Gives a name an address, and sockets that lead to it.
    async fn give(&self, doors: &Rc<Doors>, host: Host, ports: &BTreeSet<u16>) -> Answer {
        let number = u32::try_from(self.known.borrow().len()).unwrap_or(MOST);
        if number >= MOST {
            return Answer::Failure;
        }
        // Behind the address that the interface itself has.
        let address = Ipv4Addr::from_bits(POOL.0.to_bits() + 1 + number);
        self.known.borrow_mut().insert(host.clone(), address);
        let mut listens = false;
        for port in ports {
            let goal = Goal { host: host.clone(), port: *port, protocol: "transparent" };
            let Ok(listener) = doors.listener_inside(address, *port).await else {
                record(doors.shared(), &goal, Decision::Failed, "no-listener", None);
                continue;
            };
            listens = true;
            let of = Rc::clone(doors);
            let lead = move |client| lead(Rc::clone(&of), goal.clone(), client);
            spawn_local(accept(listener, doors.places(), lead));
        }
        if !listens {
            self.known.borrow_mut().remove(&host);
            return Answer::Failure;
        }
        Answer::Address(address)
    }
}

/// The port that a refusal is told for, where none is known.
const WEB: u16 = 443;

/// The ports of a name at which it may be reached. Of rules for all ports, those of the web: a socket has one port.
fn ports(rules: &HostRules, host: &Host) -> BTreeSet<u16> {
    let named = rules.allow.iter().flat_map(|rule| match rule.value.target.ports {
        Ports::Web | Ports::All => vec![80, WEB],
        Ports::One(port) => vec![port],
    });
    named.filter(|port| rules.by_name(host, *port, None).is_ok()).collect()
}

fn record(shared: &Shared, goal: &Goal, decision: Decision, reason: &'static str, allow_with: Option<String>) {
    let Goal { host, port, protocol } = goal;
    shared.events.record(&Event {
        decision,
        protocol,
        host: host.to_string(),
        port: *port,
        reason,
        allow_with,
        bytes: (0, 0),
        duration: Duration::ZERO,
    });
}

/// The message that answers one; `None`: it is no question.
async fn reply(pool: &Pool, doors: &Rc<Doors>, bytes: &[u8]) -> Option<Vec<u8>> {
    match Question::read(bytes)? {
        Ok(question) => {
            let answer = pool.answer(doors, &question).await;
            Some(question.reply(answer))
        }
        Err(refusal) => Some(refusal),
    }
}

async fn datagrams(pool: Rc<Pool>, doors: Rc<Doors>, socket: UdpSocket) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // An error is about an answer that nobody took.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(reply) = reply(&pool, &doors, buffer.get(..length).unwrap_or_default()).await {
            crate::sys::ignore(socket.send_to(&reply, from).await.map(drop));
        }
    }
}

/// Questions one after the other, each behind its length (RFC 7766).
async fn connection(pool: Rc<Pool>, doors: Rc<Doors>, client: TcpStream) {
    let client = Stream::from(client);
    let mut said = Vec::new();
    loop {
        let length = said.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)));
        let Some(question) = length.and_then(|length| said.get(2..2 + length).map(<[u8]>::to_vec)) else {
            let more = timeout(PATIENCE, client.read_more(&mut said)).await;
            if said.len() > LONGEST || !more.is_ok_and(|read| read.is_ok_and(|read| read > 0)) {
                return;
            }
            continue;
        };
        said.drain(..2 + question.len());
        let Some(reply) = reply(&pool, &doors, &question).await else { return };
        let length = u16::try_from(reply.len()).unwrap_or(0).to_be_bytes();
        if client.write_all(&[&length[..], &reply].concat()).await.is_err() {
            return;
        }
    }
}

/// Leads a connection to the name that its address stands for.
async fn lead(doors: Rc<Doors>, goal: Goal, client: TcpStream) {
    let Some(visit) = Visit::new(doors.shared(), client.into()) else { return };
    // It was accepted, and no language is known in which to say more.
    visit.answered.set(true);
    let led = async {
        let server = visit.dial(&goal, None).await?;
        tunnel::tunnel(&visit, &goal, &server, Vec::new()).await
    };
    match led.await {
        Ok(()) => visit.allowed(&goal),
        Err(stop) => {
            visit.record(Some(&goal), &stop);
            if matches!(stop, Stop::NoWay(_)) {
                visit.client.reset();
            }
        }
    }
}
