//! A server that is never what is waited for: a thread for each connection, and the kernel sends from memory.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::fs::sendfile;

/// How much is sent at a time; sent again and again for more.
const PIECE: u64 = 64 << 20;

/// Between two bits of an answer that has no end.
const DRIP: Duration = Duration::from_millis(250);

/// Listens on loopback. `/SIZE` is an answer of so many bytes; `/drip` one that goes on until the client leaves.
pub(crate) fn start(directory: &Path) -> SocketAddr {
    let content = directory.join("content");
    std::fs::write(&content, vec![b'x'; PIECE as usize]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let content = content.clone();
            let serve = move || {
                // A client that leaves early is not a fault.
                drop(File::open(content).and_then(|content| serve(stream, &content)));
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn(serve).unwrap();
        }
    });
    address
}

fn serve(mut stream: TcpStream, content: &File) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let head = head(&mut stream)?;
    let target = head.split(' ').nth(1).unwrap_or_default();
    // To a proxy, the whole address is said.
    let path = target.rsplit('/').next().unwrap_or_default();
    if path == "drip" {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[b'x'; 1024])?;
            std::thread::sleep(DRIP);
        }
    }
    let size: u64 = path.parse().unwrap_or_default();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
    let mut left = size;
    if size <= 1 << 14 {
        // In one piece, as servers do.
        return stream.write_all(&[answer.as_bytes(), &vec![b'x'; size as usize]].concat());
    }
    stream.write_all(answer.as_bytes())?;
    while left > 0 {
        let mut offset = 0;
        while offset < PIECE && left > 0 {
            let count = left.min(PIECE - offset) as usize;
            left -= sendfile(&stream, content, Some(&mut offset), count)? as u64;
        }
    }
    Ok(())
}

fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while !said.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => break,
            read => said.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}
