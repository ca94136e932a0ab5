//! A wire to a server that a test can damage.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Wire;

/// How long there is between the pieces of what comes in pieces.
const BETWEEN_PIECES: Duration = Duration::from_millis(1);

/// A port of our own that leads to a server, as long as the wire is whole.
#[derive(Debug)]
pub struct FaultProxy {
    url: String,
    state: watch::Sender<State>,
    server: watch::Sender<String>,
    accepting: JoinHandle<()>,
}

/// In which direction something goes over a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// How what goes in one direction arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flow {
    /// At once.
    Free,
    /// Not before that is over: nothing is lost, and nobody is told.
    Held,
    /// So much later.
    Late(Duration),
    /// In pieces of so many bytes, a millisecond apart.
    Sliced(usize),
}

#[derive(Clone, Copy, Debug)]
struct State {
    wire: Wire,
    to_server: Flow,
    to_client: Flow,
    /// How often servers have lost their clients' connections, and clients their servers'.
    lost_to: [u64; 2],
}

impl State {
    /// How what goes that way arrives. On a dead wire nothing does.
    fn flow(&self, way: Way) -> Flow {
        match (self.wire, way) {
            (Wire::Dead, _) => Flow::Held,
            (_, Way::ToServer) => self.to_server,
            (_, Way::ToClient) => self.to_client,
        }
    }
}

impl FaultProxy {
    /// A proxy to the server that a URL names.
    ///
    /// # Panics
    ///
    /// Where the URL names no host and port, or there is no port to listen on.
    pub async fn to(url: &str) -> Self {
        let server = server(url);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let state = watch::Sender::new(State {
            wire: Wire::Whole,
            to_server: Flow::Free,
            to_client: Flow::Free,
            lost_to: [0; 2],
        });
        let url = url.replacen(server, &format!("127.0.0.1:{port}"), 1);
        let server = watch::Sender::new(server.to_owned());
        let accepting = tokio::spawn(accept(listener, server.subscribe(), state.clone()));
        Self { url, state, server, accepting }
    }

    /// How to connect through it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts or mends the wire. Cut, connections break and new ones are refused; dead, they
    /// stay open and nothing comes through, as when a router forgets them.
    pub fn set_wire(&self, wire: Wire) {
        self.state.send_modify(|state| state.wire = wire);
    }

    /// Changes how what goes one way arrives, on connections that there are too.
    pub fn set_flow(&self, way: Way, flow: Flow) {
        self.state.send_modify(|state| match way {
            Way::ToServer => state.to_server = flow,
            Way::ToClient => state.to_client = flow,
        });
    }

    /// Leaves the connections that there are half open: they are closed to whom this way leads, and
    /// the other side is not told, ever. New ones are whole.
    pub fn half_open(&self, way: Way) {
        self.state.send_modify(|state| {
            let [server, client] = &mut state.lost_to;
            *(if way == Way::ToServer { server } else { client }) += 1;
        });
    }

    /// Leads to another server from now on, as a name does that was given another address.
    /// Connections that there are stay where they are.
    pub fn lead_to(&self, url: &str) {
        self.server.send_replace(server(url).to_owned());
    }
}

/// The host and port in a URL.
fn server(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("a URL");
    let authority = rest.split('/').next().unwrap_or(rest);
    authority.rsplit('@').next().unwrap_or(authority)
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: watch::Receiver<String>,
    state: watch::Sender<State>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if state.borrow().wire == Wire::Cut {
            continue;
        }
        let (server, state) = (server.borrow().clone(), state.subscribe());
        tokio::spawn(async move {
            let _ = connect(client, &server, state).await;
        });
    }
}

async fn connect(
    mut client: TcpStream,
    server: &str,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let lost_before = state.borrow().lost_to;
    let lost = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let (up, down, mut cut) = (state.clone(), state.clone(), state.clone());
        tokio::select! {
            _ = cut.wait_for(|state| state.wire == Wire::Cut) => return Ok(()),
            done = forward(from_client, to_server, Way::ToServer, up) => return done,
            done = forward(from_server, to_client, Way::ToClient, down) => return done,
            lost = state.wait_for(|state| state.lost_to != lost_before) => {
                lost.map(|state| state.lost_to).map_err(io::Error::other)?
            }
        }
    };
    let [to_server, _] = lost_before;
    // One side is closed, and the other one held until the wire breaks.
    let (_held, closed) = if lost[0] == to_server { (server, client) } else { (client, server) };
    drop(closed);
    let _ = state.wait_for(|state| state.wire == Wire::Cut).await;
    Ok(())
}

/// Brings what goes one way, which is read as it comes and written when it is due.
async fn forward(
    from: impl AsyncReadExt + Unpin,
    to: impl AsyncWriteExt + Unpin,
    way: Way,
    state: watch::Receiver<State>,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let reading = read(from, way, state.clone(), sender);
    tokio::try_join!(reading, write(to, way, state, receiver)).map(drop)
}

async fn read(
    mut from: impl AsyncReadExt + Unpin,
    way: Way,
    state: watch::Receiver<State>,
    sender: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let late = match state.borrow().flow(way) {
            Flow::Late(late) => late,
            _ => Duration::ZERO,
        };
        let piece = buffer.get(..read).unwrap_or_default().to_vec();
        if sender.send((sleep(late).deadline(), piece)).is_err() || read == 0 {
            return Ok(());
        }
    }
}

async fn write(
    mut to: impl AsyncWriteExt + Unpin,
    way: Way,
    mut state: watch::Receiver<State>,
    mut receiver: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
) -> io::Result<()> {
    while let Some((due, bytes)) = receiver.recv().await {
        sleep_until(due).await;
        // What arrives while it is held comes when that is over.
        let free = state.wait_for(|state| state.flow(way) != Flow::Held).await;
        let flow = free.map_err(io::Error::other)?.flow(way);
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let piece = match flow {
            Flow::Sliced(bytes) => bytes.max(1),
            _ => bytes.len(),
        };
        for (at, piece) in bytes.chunks(piece).enumerate() {
            if at > 0 {
                sleep(BETWEEN_PIECES).await;
            }
            to.write_all(piece).await?;
        }
    }
    Ok(())
}
