//! Sockets that init hands over, and what connects to them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener as Listening};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram as Line;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixDatagram};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{spawn_local, yield_now};
use tokio::time::{Instant, sleep};

use super::events::{Decision, Event, Events};
use super::relay::{self, Traffic};
use super::resolver::Pool;
use super::stream::Stream;
use super::{Shared, dial, filter, published};
use crate::backend::child::WayOut;
use crate::backend::init::message::{Handed, Wanted, take_handed, want};
use crate::plan::network::{Door, Endpoint, Leads};

/// So many connections at once, of all doors; more wait in the kernel.
const CONNECTIONS: usize = 4096;

/// Descriptors of one connection; a third of them is left for names, and for what is no connection.
const DESCRIPTORS: u64 = 3;

/// How long nothing is accepted after it could not be: descriptors may come back.
const PAUSE: Duration = Duration::from_millis(20);

/// How long connections go on when the sandbox has ended: what it said last may still be on its way.
const LAST_MOVES: Duration = Duration::from_millis(200);

/// How often all that is ready is looked at before nothing is.
const LAST_TURNS: usize = 8;

/// Places for connections, of all doors together.
#[derive(Debug, Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Rc<Cell<usize>>,
}

/// A connection's place.
struct Place {
    _permit: OwnedSemaphorePermit,
    taken: Rc<Cell<usize>>,
}

impl Places {
    fn new(number: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(number)), taken: Rc::default() }
    }

    fn take(&self, permit: OwnedSemaphorePermit) -> Place {
        self.taken.set(self.taken.get() + 1);
        Place { _permit: permit, taken: Rc::clone(&self.taken) }
    }

    /// Waits a moment for connections to end, those that have just been made included.
    async fn empty(&self) {
        for _ in 0..LAST_TURNS {
            yield_now().await;
        }
        let deadline = Instant::now() + LAST_MOVES;
        while self.taken.get() > 0 && Instant::now() < deadline {
            sleep(LAST_MOVES / 100).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.set(self.taken.get().saturating_sub(1));
    }
}

/// The way in and out of one sandbox.
#[derive(Debug)]
pub(super) struct Doors {
    shared: Rc<Shared>,
    /// To init: it hangs up with the sandbox. Packets and their ends are kept, as of datagrams.
    line: UnixDatagram,
    /// Sockets of the host's, in the order of the plan's doors.
    sockets: RefCell<Vec<OwnedFd>>,
    published: RefCell<Vec<OwnedFd>>,
    places: Places,
    /// Of ports of the host's that lead inside: whoever holds those must not shut the way out.
    published_places: Places,
    /// Who waits for a socket of init's.
    wishes: RefCell<HashMap<Wanted, oneshot::Sender<Option<OwnedFd>>>>,
    next_wish: Cell<u16>,
    /// Names that programs without a proxy ask for.
    pool: Rc<Pool>,
}

impl Doors {
    /// Must be called in the runtime.
    pub(super) fn new(shared: Rc<Shared>, way_out: WayOut) -> io::Result<Rc<Self>> {
        let WayOut { line, sockets, published } = way_out;
        let line = Line::from(line.ok_or(io::ErrorKind::NotConnected)?);
        line.set_nonblocking(true)?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let room = usize::try_from(limit / DESCRIPTORS).unwrap_or(CONNECTIONS).clamp(16, CONNECTIONS);
        Ok(Rc::new(Self {
            shared,
            line: UnixDatagram::from_std(line)?,
            sockets: RefCell::new(sockets),
            published: RefCell::new(published),
            places: Places::new(room),
            published_places: Places::new(room / 8 + 1),
            wishes: RefCell::default(),
            next_wish: Cell::new(0),
            pool: Rc::default(),
        }))
    }

    /// Serves until the sandbox has ended.
    pub(super) async fn serve(self: Rc<Self>) {
        for (number, socket) in (0..).zip(self.sockets.take()) {
            self.open(number, socket);
        }
        for (pair, socket) in self.shared.plan.publish.iter().zip(self.published.take()) {
            if let Ok(listener) = listener(socket) {
                spawn_local(published::serve(Rc::clone(&self), listener, (pair.value.host, pair.value.inside)));
            }
        }
        while let Ok(handed) = self.handed().await {
            match handed {
                (Handed::Door(number), Some(socket)) => self.open(number, socket),
                (Handed::Socket(number), socket) => self.answer(Wanted::Socket(number), socket),
                (Handed::Resolver, Some(socket)) => self.pool.serve(&self, socket),
                (Handed::Listener(address, port), socket) => self.answer(Wanted::Listener(address, port), socket),
                (Handed::Door(_) | Handed::Resolver, None) => {}
            }
        }
        self.places.empty().await;
        self.published_places.empty().await;
    }

    /// What init hands over next; an error when it is gone.
    async fn handed(&self) -> io::Result<(Handed, Option<OwnedFd>)> {
        loop {
            self.line.readable().await?;
            match self.line.try_io(Interest::READABLE, || Ok(take_handed(self.line.as_fd())?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                handed => return handed,
            }
        }
    }

    fn open(self: &Rc<Self>, number: u16, socket: OwnedFd) {
        let door = self.shared.plan.doors.get(usize::from(number)).cloned().map(Rc::new);
        if let (Some(door), Ok(listener)) = (door, listener(socket)) {
            let shared = Rc::clone(&self.shared);
            let through = move |client| through(Rc::clone(&shared), Rc::clone(&door), client);
            spawn_local(accept(listener, self.places(), through));
        }
    }

    /// A socket in the network of the sandbox.
    pub(super) async fn socket_inside(&self) -> io::Result<OwnedFd> {
        let number = self.next_wish.replace(self.next_wish.get().wrapping_add(1));
        self.wish(Wanted::Socket(number)).await
    }

    /// A socket that listens in the network of the sandbox.
    pub(super) async fn listener_inside(&self, address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
        listener(self.wish(Wanted::Listener(address, port)).await?)
    }

    async fn wish(&self, wanted: Wanted) -> io::Result<OwnedFd> {
        let (sender, receiver) = oneshot::channel();
        self.wishes.borrow_mut().insert(wanted, sender);
        want(self.line.as_fd(), wanted)?;
        receiver.await.ok().flatten().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn answer(&self, wanted: Wanted, socket: Option<OwnedFd>) {
        if let Some(sender) = self.wishes.borrow_mut().remove(&wanted) {
            // Nobody may be waiting any more.
            drop(sender.send(socket));
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn places(&self) -> Places {
        self.places.clone()
    }

    pub(super) fn published_places(&self) -> Places {
        self.published_places.clone()
    }
}

pub(super) fn listener(socket: OwnedFd) -> io::Result<TcpListener> {
    let socket = Listening::from(socket);
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Accepts without end. Each connection has a place; when there is none, one waits here, and the others in the kernel.
pub(super) async fn accept<F: Future<Output = ()> + 'static>(
    listener: TcpListener,
    places: Places,
    serve: impl Fn(TcpStream) -> F,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Not before: whoever only listens takes nobody's place.
                let Ok(permit) = Arc::clone(&places.free).acquire_owned().await else { return };
                crate::sys::ignore(stream.set_nodelay(true));
                let (served, place) = (serve(stream), places.take(permit));
                spawn_local(async move {
                    served.await;
                    drop(place);
                });
            }
            // No descriptor, or a client that is gone already.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn through(shared: Rc<Shared>, door: Rc<Door>, client: TcpStream) {
    let endpoint = match &door.leads {
        Leads::Filter => return filter::serve(&shared, client.into()).await,
        Leads::Proxy(endpoint) => ("proxy", endpoint.clone()),
        Leads::Port(port) => ("port", Endpoint::Localhost(*port)),
    };
    let (protocol, endpoint) = endpoint;
    let (host, port) = match &endpoint {
        Endpoint::Unix(path) => (path.display().to_string(), 0),
        Endpoint::V6(port) => ("[::1]".to_owned(), *port),
        Endpoint::V4(port) | Endpoint::Localhost(port) => ("127.0.0.1".to_owned(), *port),
    };
    let passage = Passage::new(&shared.events, protocol, host, port);
    let client = Stream::from(client);
    let result = match dial::to_endpoint(&endpoint, &shared.patience).await {
        Ok(server) => relay::both(&client, &server, &passage.traffic, &shared.patience).await.or_else(ended),
        Err(error) => Err(error),
    };
    passage.over(&result);
}

/// A connection that leads to one place. It is recorded when it is over, also where the sandbox ends before it.
pub(super) struct Passage<'a> {
    events: &'a Events,
    protocol: &'static str,
    host: String,
    port: u16,
    begin: Instant,
    /// Up is from where the connection came.
    pub traffic: Traffic,
    failed: Cell<Option<&'static str>>,
}

impl<'a> Passage<'a> {
    pub(super) fn new(events: &'a Events, protocol: &'static str, host: String, port: u16) -> Self {
        let (traffic, failed) = (Traffic::default(), Cell::new(None));
        Self { events, protocol, host, port, begin: Instant::now(), traffic, failed }
    }

    pub(super) fn over(self, result: &io::Result<()>) {
        self.failed.set(result.as_ref().err().map(reason));
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let (up, down) = self.traffic.bytes();
        let failed = self.failed.get();
        self.events.record(&Event {
            decision: if failed.is_none() { Decision::Allowed } else { Decision::Failed },
            protocol: self.protocol,
            host: std::mem::take(&mut self.host),
            port: self.port,
            reason: failed.unwrap_or_default(),
            allow_with: None,
            // From and to the command, whoever called.
            bytes: if self.protocol == "publish" { (down, up) } else { (up, down) },
            duration: self.begin.elapsed(),
        });
    }
}

/// A side that is gone all at once has ended, too.
pub(super) fn ended(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => Ok(()),
        _ => Err(error),
    }
}

/// A stable word for what went wrong.
pub(super) fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::TimedOut => "timeout",
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
        io::ErrorKind::UnexpectedEof => "closed",
        io::ErrorKind::OutOfMemory => "too-much",
        _ => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    #[test]
    fn who_only_listens_takes_nobody_s_place() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let places = Places::new(1);
            let mut addresses = Vec::new();
            for _ in 0..3 {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                addresses.push(listener.local_addr().unwrap());
                spawn_local(accept(listener, places.clone(), |client: TcpStream| async move {
                    drop(Stream::from(client).write_all(b"x").await);
                }));
            }
            for address in addresses.iter().chain(&addresses) {
                let client = TcpStream::connect(address).await.unwrap();
                let served = tokio::time::timeout(Duration::from_secs(20), client.readable()).await;
                assert!(served.is_ok_and(|ready| ready.is_ok()), "{address}");
            }
            places.empty().await;
            assert_eq!((places.taken.get(), places.free.available_permits()), (0, 1));
        });
    }
}
