//! Servers over loopback, with 64 connections.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use keyauth_core::KeyStore;
use keyauth_sqlite::SqliteStore;
use keyauth_tower::KeyAuthLayer;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tower::layer::util::Identity;

use crate::bench::Bench;
use crate::client::Connections;
use crate::fixture::{Cached, typical};
use crate::report::{Bound, Row};
use crate::rounds::Rounds;
use crate::rows::layer::by_hand;

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 20_000;
const KEYS: usize = 1_000;

/// Serves on one thread, for as long as the program runs.
fn serve(name: &str, app: Router) -> SocketAddr {
    let (told, address) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let serving = thread.spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            told.send(listener.local_addr().expect("an address")).expect("somebody waits");
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, app).await.expect("it serves");
        });
    });
    serving.expect("a thread");
    address.recv().expect("an address")
}

fn request(path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n").into()
}

/// What a request takes of an axum server on one thread: with the layer, with one that does
/// nothing, with the one by hand, and with none.
pub(crate) fn layered(bench: &Bench, connections: usize, rounds: usize) -> Rounds<4> {
    let cached = bench.block_on(Cached::new(KEYS, typical));
    let by_hand = by_hand(bench, &cached);
    let app = || Router::new().route("/", get(async || "hello"));
    let requests: Arc<[_]> = cached.keys.iter().map(|key| request("/", key)).collect();
    let servers = [
        serve("with", app().layer(KeyAuthLayer::new(cached.auth))),
        serve("nothing", app().layer(Identity::new())),
        serve("by hand", app().layer(by_hand)),
        serve("without", app()),
    ];
    let mut servers = servers.map(|address| Connections::open(address, connections, &requests));
    let [a, b, c, d] = servers.each_mut().map(|those| move || those.send(REQUESTS));
    let (mut a, mut b, mut c, mut d) = (a, b, c, d);
    Rounds::run(rounds, [&mut a, &mut b, &mut c, &mut d])
}

pub(crate) fn axum(bench: &Bench) -> Result<Row, String> {
    let rounds = layered(bench, CONNECTIONS, bench.rounds(24));
    let what = "requests a second of an axum server on one thread with the layer, 1000 keys, 64 \
                connections; without";
    let row = Row::of(what, &rounds, Bound::AtLeast(0.95));
    let [nothing, by_hand] = [1, 2].map(|at| rounds.median(|times| times[3] / times[at]));
    let others = format!("with a layer that does nothing {nothing:.2}, by hand {by_hand:.2}");
    Ok(row.note(&others))
}

/// `keyauth serve` on one thread, as proxies ask it.
pub(crate) fn forward_auth(bench: &Bench) -> Result<Row, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let keys = bench.block_on(async move {
        let store = SqliteStore::open(&file).await.expect("a file");
        let mut keys = Vec::new();
        for number in 0..KEYS {
            let key = store.issue(typical(number)).await.expect("a key");
            keys.push(key.reveal().to_owned());
        }
        store.close().await;
        keys
    });
    let server = Server::start(folder.path());
    let requests = |path: &str| keys.iter().map(|key| request(path, key)).collect::<Arc<[_]>>();
    let [mut ours, mut baseline] = ["/auth", "/healthz"]
        .map(|path| Connections::open(server.address, CONNECTIONS, &requests(path)));
    let rounds = Rounds::run(
        bench.rounds(24),
        [&mut || ours.send(REQUESTS), &mut || baseline.send(REQUESTS)],
    );
    let what = "requests a second to /auth of keyauth serve on one thread, 1000 keys, 64 \
                connections; to /healthz of the same server";
    let latencies = [&mut ours, &mut baseline]
        .map(|those| [500, 990].map(|share| format!("{:?}", those.per_mille(share))).join(" and "));
    let [ours, baseline] = latencies;
    let row = Row::of(what, &rounds, Bound::None);
    Ok(row.note(&format!("p50 and p99 {ours}; {baseline}")))
}

/// A process of its own: this program, as `keyauth`.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let program = std::env::current_exe().expect("this program");
        let process = Command::new(program)
            .args(["serve", "--listen", &address.to_string(), "--database", "sqlite://keys.db"])
            .env("TOKIO_WORKER_THREADS", "1")
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program starts");
        while std::net::TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
