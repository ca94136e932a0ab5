//! A client that costs less than the servers it asks, and that never sleeps: waking it would be a
//! cost of whoever answers, and greatest for the slower of two.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Clock, SystemClock};

/// Connections that are kept open, each with one request at a time.
pub(crate) struct Connections {
    open: Vec<Connection>,
    /// What each request has taken, of those that were sent last.
    times: Vec<Duration>,
}

struct Connection {
    stream: TcpStream,
    requests: Arc<[Vec<u8>]>,
    next: usize,
    /// As long as the first one was: they differ in nothing but digits.
    answer: Vec<u8>,
    /// How much of it is there.
    read: usize,
    /// How many are still to be sent.
    left: usize,
    sent_at: Duration,
}

impl Connections {
    /// Opens some, which send these requests in turn.
    pub(crate) fn open(address: SocketAddr, count: usize, requests: &Arc<[Vec<u8>]>) -> Self {
        let open = |number| Connection::open(address, number * requests.len() / count, requests);
        Self { open: (0..count).map(open).collect(), times: Vec::new() }
    }

    /// Sends so many requests over all of them, and gives what one took, on average over all that
    /// were under way at once.
    pub(crate) fn send(&mut self, count: usize) -> Duration {
        let clock = SystemClock::new();
        let each = count / self.open.len();
        let all = each * self.open.len();
        self.times.clear();
        let began = clock.uptime();
        for connection in &mut self.open {
            connection.left = each;
            connection.send(began);
        }
        while self.times.len() < all {
            for connection in &mut self.open {
                if connection.left > 0 && connection.is_answered() {
                    let now = clock.uptime();
                    self.times.push(now - connection.sent_at);
                    connection.left -= 1;
                    if connection.left > 0 {
                        connection.send(now);
                    }
                }
            }
        }
        (clock.uptime() - began) / u32::try_from(all).expect("a count")
    }

    /// The time that so many of a thousand requests stayed below.
    pub(crate) fn per_mille(&mut self, share: usize) -> Duration {
        self.times.sort();
        self.times[(self.times.len() * share / 1_000).min(self.times.len() - 1)]
    }
}

impl Connection {
    /// Sends the first request, and learns how long answers are.
    fn open(address: SocketAddr, next: usize, requests: &Arc<[Vec<u8>]>) -> Self {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("an option");
        stream.write_all(&requests[next]).expect("it reads");
        let (mut answer, mut part) = (Vec::new(), [0; 4_096]);
        let length = loop {
            let count = stream.read(&mut part).expect("an answer");
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).expect("a length");
            let body: usize = length.split("\r\n").next().and_then(|n| n.parse().ok()).expect("it");
            break head.len() + 4 + body;
        };
        let there = answer.len();
        answer.resize(length, 0);
        stream.read_exact(&mut answer[there..]).expect("the rest");
        stream.set_nonblocking(true).expect("an option");
        let (requests, sent_at) = (Arc::clone(requests), Duration::ZERO);
        let connection = Self { stream, requests, next, answer, read: 0, left: 0, sent_at };
        connection.check();
        connection
    }

    fn send(&mut self, now: Duration) {
        self.next = (self.next + 1) % self.requests.len();
        self.stream.write_all(&self.requests[self.next]).expect("there is room for one");
        (self.sent_at, self.read) = (now, 0);
    }

    /// Reads what is there.
    fn is_answered(&mut self) -> bool {
        let read = self.stream.read(&mut self.answer[self.read..]);
        if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            return false;
        }
        let count = read.expect("an answer");
        assert_ne!(count, 0, "it has hung up");
        self.read += count;
        let whole = self.read == self.answer.len();
        if whole {
            self.check();
        }
        whole
    }

    fn check(&self) {
        let yes = self.answer.starts_with(b"HTTP/1.1 200 OK\r\n");
        assert!(yes, "{}", String::from_utf8_lossy(&self.answer));
    }
}
