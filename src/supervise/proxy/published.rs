//! Ports of the host that lead inside: the bridge connects with sockets of the sandbox's network, which init makes.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::doors::{Doors, Passage, accept, ended};
use super::relay;
use super::stream::Stream;

/// Leads what connects to a port of the host to one inside.
pub(super) async fn serve(doors: Rc<Doors>, listener: TcpListener, (host, inside): (u16, u16)) {
    let places = doors.published_places();
    let lead = move |client| lead(Rc::clone(&doors), client, (host, inside));
    accept(listener, places, lead).await;
}

async fn lead(doors: Rc<Doors>, client: TcpStream, (host, inside): (u16, u16)) {
    let shared = doors.shared();
    let passage = Passage::new(&shared.events, "publish", "127.0.0.1".to_owned(), host);
    let result = match connect(&doors, inside).await {
        Ok(server) => relay::both(&client.into(), &server, &passage.traffic, &shared.patience).await.or_else(ended),
        Err(error) => Err(error),
    };
    passage.over(&result);
}

async fn connect(doors: &Doors, port: u16) -> std::io::Result<Stream> {
    let connected = async {
        let socket: OwnedFd = doors.socket_inside().await?;
        let socket = TcpSocket::from_std_stream(socket.into());
        let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    };
    timeout(doors.shared().patience.dial, connected).await?
}
