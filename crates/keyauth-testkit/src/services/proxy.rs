//! A wire to a server that a test can cut.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Wire;

/// A port of our own that leads to a server, as long as the wire is whole.
#[derive(Debug)]
pub struct FaultProxy {
    url: String,
    wire: watch::Sender<Wire>,
    server: watch::Sender<String>,
    accepting: JoinHandle<()>,
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
        let wire = watch::Sender::new(Wire::Whole);
        let url = url.replacen(server, &format!("127.0.0.1:{port}"), 1);
        let server = watch::Sender::new(server.to_owned());
        let accepting = tokio::spawn(accept(listener, server.subscribe(), wire.clone()));
        Self { url, wire, server, accepting }
    }

    /// How to connect through it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts or mends the wire. Cut, connections break and new ones are refused; dead, they
    /// stay open and nothing comes through, as when a router forgets them.
    pub fn set_wire(&self, wire: Wire) {
        self.wire.send_replace(wire);
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

async fn accept(listener: TcpListener, server: watch::Receiver<String>, wire: watch::Sender<Wire>) {
    while let Ok((client, _)) = listener.accept().await {
        let state = *wire.borrow();
        if state == Wire::Cut {
            continue;
        }
        let (server, wire) = (server.borrow().clone(), wire.subscribe());
        tokio::spawn(async move {
            let _ = connect(client, &server, wire).await;
        });
    }
}

async fn connect(
    client: TcpStream,
    server: &str,
    mut wire: watch::Receiver<Wire>,
) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, down) = (wire.clone(), wire.clone());
    tokio::select! {
        _ = wire.wait_for(|wire| *wire == Wire::Cut) => Ok(()),
        done = forward(from_client, to_server, up) => done,
        done = forward(from_server, to_client, down) => done,
    }
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut wire: watch::Receiver<Wire>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        // What arrives on a dead wire is held until it is whole again.
        let _ = wire.wait_for(|wire| *wire != Wire::Dead).await;
        if read == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}
