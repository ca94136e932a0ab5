//! A client that costs less than the servers it asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// Connections that are kept open, each with one request at a time.
pub(crate) struct Connections {
    runtime: Runtime,
    open: Vec<Connection>,
    /// What each request has taken, of those that were sent last.
    pub(crate) times: Vec<Duration>,
}

struct Connection {
    stream: TcpStream,
    requests: Arc<[Vec<u8>]>,
    next: usize,
    /// As long as the first one was: they differ in nothing but digits.
    answer: Vec<u8>,
}

impl Connections {
    /// Opens some, which send these requests in turn.
    pub(crate) fn open(address: SocketAddr, count: usize, requests: &Arc<[Vec<u8>]>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let open = runtime.block_on(async {
            let mut open = Vec::new();
            for number in 0..count {
                let stream = TcpStream::connect(address).await.expect("it listens");
                stream.set_nodelay(true).expect("an option");
                let next = number * requests.len() / count;
                let requests = Arc::clone(requests);
                let mut connection = Connection { stream, requests, next, answer: Vec::new() };
                connection.begin().await;
                open.push(connection);
            }
            open
        });
        Self { runtime, open, times: Vec::new() }
    }

    /// Sends so many requests over all of them, and gives what one took, on average over all that
    /// were under way at once.
    pub(crate) fn send(&mut self, count: usize) -> Duration {
        let (open, clock) = (std::mem::take(&mut self.open), SystemClock::new());
        let each = count / open.len();
        let all = u32::try_from(each * open.len()).expect("a count");
        self.times.clear();
        let sending = async {
            let began = clock.uptime();
            let tasks: Vec<_> = open
                .into_iter()
                .map(|mut connection| {
                    tokio::spawn(async move {
                        let mut times = Vec::with_capacity(each);
                        for _ in 0..each {
                            let began = clock.uptime();
                            connection.ask().await;
                            times.push(clock.uptime() - began);
                        }
                        (connection, times)
                    })
                })
                .collect();
            for task in tasks {
                let (connection, times) = task.await.expect("no panic");
                self.open.push(connection);
                self.times.extend(times);
            }
            (clock.uptime() - began) / all
        };
        self.runtime.block_on(sending)
    }

    /// The time that so many of a thousand requests stayed below.
    pub(crate) fn per_mille(&mut self, share: usize) -> Duration {
        self.times.sort();
        self.times[(self.times.len() * share / 1_000).min(self.times.len() - 1)]
    }
}

impl Connection {
    /// Sends the first request, and learns how long answers are.
    async fn begin(&mut self) {
        self.stream.write_all(&self.requests[self.next]).await.expect("it reads");
        let mut read = Vec::new();
        let length = loop {
            assert_ne!(self.stream.read_buf(&mut read).await.expect("an answer"), 0, "{read:?}");
            let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
            let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).expect("a length");
            let body: usize = length.split("\r\n").next().and_then(|n| n.parse().ok()).expect("it");
            break head.len() + 4 + body;
        };
        self.answer = vec![0; length];
        let there = read.len();
        self.answer[..there].copy_from_slice(&read);
        self.stream.read_exact(&mut self.answer[there..]).await.expect("the rest");
        self.check();
    }

    async fn ask(&mut self) {
        self.next = (self.next + 1) % self.requests.len();
        self.stream.write_all(&self.requests[self.next]).await.expect("it reads");
        self.stream.read_exact(&mut self.answer).await.expect("an answer");
        self.check();
    }

    fn check(&self) {
        let yes = self.answer.starts_with(b"HTTP/1.1 200 OK\r\n");
        assert!(yes, "{}", String::from_utf8_lossy(&self.answer));
    }
}
