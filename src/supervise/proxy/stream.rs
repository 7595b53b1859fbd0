//! Connections, whatever they are made of.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::net::{TcpStream, UnixStream};

use super::kept::Kept;

/// What one read takes.
const CHUNK: usize = 16 << 10;

/// A connection that can be waited for.
#[derive(Debug)]
pub enum Stream {
    /// By TCP.
    Tcp(TcpStream),
    /// To a unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Waits until there may be something to read.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    /// Waits until there may be room to write.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    /// Reads what is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Writes what there is room for.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Says that nothing more will be written.
    pub fn finish(&self) {
        crate::sys::ignore(rustix::net::shutdown(self, rustix::net::Shutdown::Write));
    }

    /// Says that nothing more will be read or written: whoever waits for either wakes up.
    pub fn end(&self) {
        crate::sys::ignore(rustix::net::shutdown(self, rustix::net::Shutdown::Both));
    }

    /// Ends it as somebody who could not be reached does.
    pub fn reset(&self) {
        crate::sys::ignore(rustix::net::sockopt::set_socket_linger(self, Some(std::time::Duration::ZERO)));
    }

    /// Reads something, and puts it behind what is there; `0` at the end.
    pub async fn read_more(&self, said: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            self.readable().await?;
            // Not kept while waiting: there may be thousands that wait.
            let mut buffer = [0; CHUNK];
            match self.try_read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(read) => {
                    said.extend_from_slice(buffer.get(..read).unwrap_or_default());
                    return Ok(read);
                }
            }
        }
    }

    /// As [`Stream::read_more`], of something that is kept until it is complete.
    ///
    /// # Errors
    /// As read(2), or `OutOfMemory` where all that is kept together is too much.
    pub async fn read_kept(&self, said: &mut Vec<u8>, kept: &mut Kept) -> io::Result<usize> {
        let read = self.read_more(said).await?;
        kept.try_set(said.capacity())?;
        Ok(read)
    }

    /// Writes everything.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}
