//! Bytes from one connection to another, through memory: splice(2) through a pipe copies nothing, but hands single pages on
//! in small segments, and is slower for it within a machine.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::kept::{self, Kept};
use super::stream::Stream;

/// What one read takes: so much that whoever sends or receives is not woken for each segment.
const CHUNK: usize = 1 << 20;

/// What one read takes while others keep much that nobody reads.
const SMALL_CHUNK: usize = 16 << 10;

thread_local! {
    /// Filled and emptied between two waits, so one is enough for all connections.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the whole of what a client says first.
    pub head: Duration,
    /// For a connection to be made, to all addresses of a host together.
    pub dial: Duration,
    /// For a server to begin its answer to a request, and for the next byte of a connection.
    pub idle: Duration,
    /// As `idle`, when one side has said all it had to say.
    pub half_closed: Duration,
    /// For somebody to read what is there for him.
    pub unread: Duration,
}

impl Patience {
    /// What programs get by with. A model may think for minutes before its first byte.
    pub const USUAL: Self = Self {
        head: Duration::from_secs(20),
        dial: Duration::from_secs(30),
        idle: Duration::from_secs(30 * 60),
        half_closed: Duration::from_secs(5 * 60),
        unread: Duration::from_secs(2 * 60),
    };
}

/// What a connection has carried, and when it last did.
#[derive(Debug)]
pub struct Traffic {
    /// Bytes from the client.
    pub up: Cell<u64>,
    /// Bytes to the client.
    pub down: Cell<u64>,
    moved: Cell<Instant>,
    half_closed: Cell<bool>,
    /// How many directions wait for somebody to read.
    unread: Cell<u32>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            up: Cell::new(0),
            down: Cell::new(0),
            moved: Cell::new(Instant::now()),
            half_closed: Cell::new(false),
            unread: Cell::new(0),
        }
    }
}

impl Traffic {
    /// Bytes from and to the client.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.up.get(), self.down.get())
    }

    /// Counts bytes of one direction.
    pub fn count(&self, counter: &Cell<u64>, bytes: usize) {
        counter.set(counter.get() + bytes as u64);
        self.moved.set(Instant::now());
    }

    /// What goes to the server.
    pub fn upward<'a>(&'a self, client: &'a Stream, server: &'a Stream) -> Direction<'a> {
        Direction { from: client, to: server, traffic: self, counter: &self.up }
    }

    /// What goes to the client.
    pub fn downward<'a>(&'a self, server: &'a Stream, client: &'a Stream) -> Direction<'a> {
        Direction { from: server, to: client, traffic: self, counter: &self.down }
    }

    /// One side has said all that it had to say.
    pub fn half_close(&self) {
        self.half_closed.set(true);
    }

    /// Does something until it is done or nothing has moved for too long.
    ///
    /// # Errors
    /// `TimedOut`, or that of the work.
    pub async fn watch<T>(&self, patience: &Patience, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        self.moved.set(Instant::now());
        let mut work = std::pin::pin!(work);
        loop {
            let wait = if self.unread.get() > 0 {
                patience.unread
            } else if self.half_closed.get() {
                patience.half_closed
            } else {
                patience.idle
            };
            // Looked at again this often, so that a shorter wait is noticed.
            let look = Instant::now() + patience.unread.min(wait);
            let deadline = self.moved.get() + wait;
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep_until(deadline.min(look)) => {}
            }
            if self.moved.get() + wait <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Carries both directions until both have ended.
///
/// # Errors
/// `TimedOut`, or what the first direction that failed says.
pub async fn both(client: &Stream, server: &Stream, traffic: &Traffic, patience: &Patience) -> io::Result<()> {
    traffic.watch(patience, join(up(client, server, traffic), down(client, server, traffic))).await
}

/// Both to their ends; the first that fails ends the other too.
pub async fn join(a: impl Future<Output = io::Result<()>>, b: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    tokio::select! {
        done = &mut a => {
            done?;
            b.await
        }
        done = &mut b => {
            done?;
            a.await
        }
    }
}

/// From the client to the server, to the end, which the server is told of.
///
/// # Errors
/// As read(2) and write(2).
pub async fn up(client: &Stream, server: &Stream, traffic: &Traffic) -> io::Result<()> {
    traffic.upward(client, server).to_the_end().await
}

/// As [`up`], the other way.
///
/// # Errors
/// See [`up`].
pub async fn down(client: &Stream, server: &Stream, traffic: &Traffic) -> io::Result<()> {
    traffic.downward(server, client).to_the_end().await
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Direction<'a> {
    from: &'a Stream,
    to: &'a Stream,
    traffic: &'a Traffic,
    counter: &'a Cell<u64>,
}

impl Direction<'_> {
    async fn to_the_end(self) -> io::Result<()> {
        self.carry(u64::MAX).await?;
        self.to.finish();
        self.traffic.half_close();
        Ok(())
    }

    /// Carries at most `limit` bytes; the number that there were, fewer at the end of the connection.
    ///
    /// # Errors
    /// See [`up`].
    pub async fn carry(self, limit: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < limit {
            self.from.readable().await?;
            let chunk = if kept::all() < kept::MUCH { CHUNK } else { SMALL_CHUNK };
            let room = usize::try_from(limit - done).unwrap_or(chunk).min(chunk);
            let passed = BUFFER.with_borrow_mut(|buffer| self.pass(buffer.get_mut(..room).unwrap_or_default()));
            match passed {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok((0, _)) => break,
                Ok((read, left)) => {
                    self.count(read);
                    done += read as u64;
                    self.write_left(&left).await?;
                    if read == CHUNK {
                        // There may always be more, and others wait.
                        yield_now().await;
                    }
                }
            }
            consume_budget().await;
        }
        Ok(done)
    }

    /// Reads once and writes once: how much was read, and what of it was not written.
    fn pass(self, buffer: &mut [u8]) -> io::Result<(usize, Vec<u8>)> {
        let read = self.from.try_read(buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        let written = match self.to.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written?,
        };
        Ok((read, bytes.get(written..).unwrap_or_default().to_vec()))
    }

    /// Writes while nobody reads.
    async fn write_left(self, mut left: &[u8]) -> io::Result<()> {
        if left.is_empty() {
            return Ok(());
        }
        let _waiting = Waiting::new(self.traffic, left.len());
        while !left.is_empty() {
            match self.to.try_write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    left = left.get(written..).unwrap_or_default();
                    self.traffic.moved.set(Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.to.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn count(self, bytes: usize) {
        self.traffic.count(self.counter, bytes);
    }
}

/// While it lives, somebody has something to read, and it is kept here.
struct Waiting<'a> {
    traffic: &'a Traffic,
    _kept: Kept,
}

impl<'a> Waiting<'a> {
    fn new(traffic: &'a Traffic, kept: usize) -> Self {
        traffic.unread.set(traffic.unread.get() + 1);
        let mut all = Kept::default();
        all.set(kept);
        Self { traffic, _kept: all }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.traffic.unread.set(self.traffic.unread.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn two_directions_end_when_both_have_or_one_has_failed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let broken = || ready(Err(io::ErrorKind::ConnectionReset.into()));
        let soon = |work| tokio::time::timeout(Duration::from_millis(50), work);
        runtime.block_on(async {
            assert!(join(broken(), pending()).await.is_err());
            assert!(join(pending(), broken()).await.is_err());
            assert!(join(ready(Ok(())), ready(Ok(()))).await.is_ok());
            assert!(soon(Box::pin(join(ready(Ok(())), pending()))).await.is_err(), "one of them goes on");
        });
    }

    #[test]
    fn what_nobody_reads_is_kept_up_to_a_bound() {
        const CONNECTIONS: usize = 160;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = || {
            let one = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (other, _) = listener.accept().unwrap();
            [one, other].map(|stream| {
                stream.set_nonblocking(true).unwrap();
                Stream::from(tokio::net::TcpStream::from_std(stream).unwrap())
            })
        };
        runtime.block_on(async {
            let traffic = Traffic::default();
            let all: Vec<_> = (0..CONNECTIONS).map(|_| (pair(), pair())).collect();
            let flood = vec![0; 1 << 20];
            let floods = all.iter().map(|([speaker, _], _)| async { while speaker.write_all(&flood).await.is_ok() {} });
            let carried = all.iter().map(|([_, from], [to, _])| traffic.downward(from, to).carry(u64::MAX));
            let mut work: Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
            work.extend(floods.map(|flood| Box::pin(flood) as _));
            work.extend(carried.map(|carried| Box::pin(async { carried.await.map_or((), drop) }) as _));
            let until_nobody_can = std::future::poll_fn(|context| {
                for one in &mut work {
                    let _ready_or_not = one.as_mut().poll(context);
                }
                let stuck = traffic.unread.get() as usize == CONNECTIONS;
                if stuck { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            });
            tokio::time::timeout(Duration::from_secs(60), until_nobody_can).await.unwrap();
            let kept = kept::all();
            assert!(kept > 0 && kept <= kept::MUCH + CHUNK + CONNECTIONS * SMALL_CHUNK, "{kept} bytes");
            drop(work);
            assert_eq!((kept::all(), traffic.unread.get()), (0, 0));
        });
    }
}
