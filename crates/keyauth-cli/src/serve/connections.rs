//! Connections: how many there may be at once, and for how long one may say nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower_service::Service as _;

/// How long a connection may be without a request, and how long the head of one may take: longer
/// than the minute for which proxies keep theirs for the next one, so that it is theirs to close.
const SILENCE: Duration = Duration::from_secs(75);
/// How often one that speaks HTTP/2 is asked whether it is there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(20);
/// How long nothing is accepted where nothing can be.
const PAUSE: Duration = Duration::from_secs(1);
/// What the server has open itself, at the least: pools, the spool, and what the runtime needs.
const OWN_FILES: u64 = 100;
/// How HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many there may be, and for how long each may say nothing.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    most: usize,
    silence: Duration,
}

impl Default for Bounds {
    /// As many as the process may have files open (`ulimit -n`), but for a quarter of them, which
    /// is for the database, Redis and the spool, whoever connects.
    fn default() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let others = (files / 4).max(OWN_FILES);
        let most = usize::try_from(files.saturating_sub(others)).unwrap_or(usize::MAX);
        Self { most: most.clamp(1, Semaphore::MAX_PERMITS), silence: SILENCE }
    }
}

/// Serves until it is told to stop, and then what is under way.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    mut stopped: watch::Receiver<bool>,
    bounds: Bounds,
) {
    let (graceful, for_each) = (GracefulShutdown::new(), stopped.clone());
    tokio::select! {
        () = accept(&listener, &app, &graceful, &for_each, bounds) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    app: &Router,
    graceful: &GracefulShutdown,
    stopped: &watch::Receiver<bool>,
    Bounds { most, silence }: Bounds,
) {
    let places = Arc::new(Semaphore::new(most));
    let mut told = false;
    loop {
        let free = places.available_permits();
        if free == 0 && !told {
            tracing::warn!(
                most,
                "there are as many connections as there may be: the next ones wait"
            );
        }
        // Told again where it was otherwise for more than a moment.
        told = free < most.div_ceil(4) && (told || free == 0);
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (mut stopped, watcher) = (stopped.clone(), graceful.watcher());
                let app = app.clone();
                tokio::spawn(async move {
                    let first = timeout(silence, speaks_http2(&stream));
                    let spoken = tokio::select! {
                        spoken = first => spoken,
                        // Who has asked for nothing yet holds nothing up.
                        _ = stopped.wait_for(|stopped| *stopped) => return,
                    };
                    if let Ok(Ok(is_http2)) = spoken {
                        connection(stream, peer, is_http2, app, watcher, silence).await;
                    }
                    drop(place);
                });
            }
            // One that has gone again; the next one is there.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    is_http2: bool,
    app: Router,
    watcher: Watcher,
    silence: Duration,
) {
    let _ = stream.set_nodelay(true);
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(silence);
    let mut http2 = server.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PING);
    let server = if is_http2 { server.http2_only() } else { server.http1_only() };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        app.clone().call(request.map(Body::new))
    });
    let serving = server.serve_connection(TokioIo::new(stream), service);
    // What a client has done wrong, or that it has gone, is nobody else's matter.
    if let Err(error) = watcher.watch(serving).await {
        tracing::debug!(error, %peer, "a connection ended");
    }
}

/// Which of the two it is, by its first bytes, that are read again afterwards. All of them: what
/// follows waits for the rest without an end.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let there = stream.peek(&mut first).await?;
        let said = first.get(..there).unwrap_or_default();
        if there == 0 || !PREFACE.starts_with(said) {
            return Ok(false);
        }
        if there == PREFACE.len() {
            return Ok(true);
        }
        // What is there already makes it readable at once.
        sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    /// Where it listens, what stops it, and its end.
    async fn start(bounds: Bounds) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = watch::channel(false);
        let whom = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
        let app = Router::new().route("/", get(whom));
        (address, stop, tokio::spawn(serve(listener, app, stopped, bounds)))
    }

    async fn say(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(text.as_bytes()).await.expect("it reads");
        stream
    }

    /// Reads to the end of the one answer that is expected.
    async fn answered(stream: &mut TcpStream) -> String {
        let peer = stream.local_addr().expect("an address").to_string();
        let mut read = Vec::new();
        while !read.ends_with(peer.as_bytes()) {
            assert_ne!(stream.read_buf(&mut read).await.expect("an answer"), 0, "{read:?}");
        }
        String::from_utf8(read).expect("a text")
    }

    #[tokio::test]
    async fn whoever_says_nothing_or_half_of_it_is_let_go() {
        let bounds = Bounds { most: 100, silence: Duration::from_millis(300) };
        let (address, _stop, _end) = start(bounds).await;
        let preface = String::from_utf8_lossy(PREFACE);
        for said in ["", "P", "PRI * HT", &preface[..23], "GET", &REQUEST[..20], REQUEST] {
            let mut stream = say(address, said).await;
            let mut read = String::new();
            // What nobody has read makes it a reset.
            let _ = stream.read_to_string(&mut read).await;
            assert_eq!(read.contains("200 OK"), said == REQUEST, "{said}: {read}");
        }
    }

    #[tokio::test]
    async fn there_are_no_more_at_once_than_there_may_be() {
        let bounds = Bounds { most: 2, silence: SILENCE };
        let (address, stop, end) = start(bounds).await;
        let [mut one, mut two] = [say(address, REQUEST).await, say(address, REQUEST).await];
        for stream in [&mut one, &mut two] {
            assert!(answered(stream).await.starts_with("HTTP/1.1 200"));
        }
        let mut three = say(address, REQUEST).await;
        let early = timeout(Duration::from_millis(200), three.readable()).await;
        assert!(early.is_err(), "it waits for a place");
        drop(one);
        assert!(answered(&mut three).await.starts_with("HTTP/1.1 200"));
        drop(three);
        let mut silent = say(address, "").await;
        // Those that are idle end with it, and those that have said nothing.
        stop.send_replace(true);
        assert_eq!(two.read(&mut [0; 64]).await.expect("an end"), 0);
        assert!(!matches!(silent.read(&mut [0; 64]).await, Ok(1..)), "or is refused");
        timeout(SILENCE / 2, end).await.expect("nobody holds it up").expect("no panic");
    }
}
