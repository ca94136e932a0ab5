//! How many instructions a request takes that needs to wait for nothing, each with a bound: they do
//! not move with the machine, as times do.
//!
//! `cargo bench -p keyauth-tower --bench instructions` has callgrind of valgrind count them, and
//! fails where there are more. It knows no SHA instructions of processors, so that hashing the key
//! is most of what it counts. Whoever makes something better lowers the bound.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that fails by panicking")]

use std::convert::Infallible;
use std::env;
use std::fs;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{Authenticator, Clock, Issuer, KeyStore, Limit, MemoryStore, NewKey};
use keyauth_ratelimit::LocalLimiter;
use keyauth_testkit::{FakeClock, at_once};
use keyauth_tower::{KeyAuthLayer, PeerAddress};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, service_fn};

/// What is counted: its name, how many instructions a request may take, and how it is run.
const CASES: [(&str, u64, fn()); 4] = [
    ("a cached key", 9_100, || cached(3_000, NewKey::named)),
    ("a cached key with a limit", 9_850, || cached(3_000, limited)),
    ("a cached key with 16 limits and 1000 networks", 11_700, || cached(50, ruled)),
    ("a key that is known to be unknown", 11_100, unknown),
];

/// Nobody uses as much up.
const PLENTY: u64 = 4_000_000_000;
/// Where all requests come from.
const CLIENT: [u8; 4] = [10, 0, 3, 231];

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--bench") => count(),
        // One of them, for callgrind; all, where Cargo's tests try whether they work.
        name => {
            let those = CASES.iter().filter(|(case, ..)| name.is_none_or(|name| name == *case));
            those.for_each(|(.., run)| run());
            ExitCode::SUCCESS
        }
    }
}

fn count() -> ExitCode {
    let mut holds = true;
    for (name, most, _) in CASES {
        let found = instructions(name);
        let verdict = if found > most { "MORE than" } else { "at most" };
        println!("{name}: {found} instructions a request, {verdict} {most}");
        holds &= found <= most;
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Has callgrind run a case, and gives what one request has taken.
fn instructions(name: &str) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("counts");
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted_requests*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().expect("this program"))
        .arg(name)
        .output()
        .expect("valgrind is installed");
    assert!(valgrind.status.success(), "{}", String::from_utf8_lossy(&valgrind.stderr));
    let requests = String::from_utf8_lossy(&valgrind.stdout);
    let requests: u64 = requests.trim().parse().expect("a count");
    let counts = fs::read_to_string(file).expect("what it has written");
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
    total.trim().parse::<u64>().expect("a count") / requests
}

fn limited(name: String) -> NewKey {
    NewKey::named(name).scope("reports:read").limit(Limit::per_minute(PLENTY))
}

fn ruled(name: String) -> NewKey {
    // Every other address, so that no two merge.
    let addresses = (0..1_000_u32).map(|number| number * 2 + 1);
    let new = addresses.fold(limited(name), |new, address| {
        new.allow_address(format!("10.0.{}.{}", address / 256, address % 256))
    });
    (1..16).fold(new, |new, limit| {
        new.limit(Limit::per_minute(PLENTY).named(format!("limit-{limit}")))
    })
}

fn cached(count: usize, new: fn(String) -> NewKey) {
    let (runtime, store) = (runtime(), MemoryStore::new());
    let issue = |number| runtime.block_on(store.issue(new(format!("key {number}"))));
    let issued = (0..count).map(issue).map(|key| key.expect("a key"));
    let keys: Vec<_> = issued.map(|key| key.reveal().to_owned()).collect();
    measure(&runtime, store, &keys, StatusCode::OK);
}

fn unknown() {
    let issuer = Issuer::new();
    let issue = |_| issuer.draft(NewKey::named("unknown")).expect("a key").into_issued();
    let keys: Vec<_> = (0..1_000).map(issue).map(|key| key.reveal().to_owned()).collect();
    measure(&runtime(), MemoryStore::new(), &keys, StatusCode::UNAUTHORIZED);
}

fn runtime() -> Runtime {
    // A thread of its own polls for changes, as in a service.
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().expect("a runtime")
}

/// Brings each key twice before, so that it is cached, and what belongs to it found.
fn measure(runtime: &Runtime, store: MemoryStore, keys: &[String], status: StatusCode) {
    // It stands still, and needs nothing of the kernel that valgrind does not have.
    let clock: Arc<dyn Clock> = Arc::new(FakeClock::default());
    let options = CacheOptions::new().clock(Arc::clone(&clock));
    let auth = Authenticator::new(CachedLookup::with_options(store, options))
        .with_clock(Arc::clone(&clock))
        .with_limiter(LocalLimiter::with_clock(clock));
    let started = async { auth.start() };
    // It polls for as long as the authenticator is there.
    let (auth, _) = runtime.block_on(started);
    // Before the first poll nothing is served from the cache.
    std::thread::sleep(Duration::from_millis(500));
    let mut service = KeyAuthLayer::new(auth).layer(service_fn(inner));
    for request in [requests(keys), requests(keys)].concat() {
        let response = runtime.block_on(service.call(request)).expect("an answer");
        assert_eq!(response.status(), status);
    }
    counted_requests(&mut service, requests(keys));
    println!("{}", keys.len());
}

/// What callgrind knows by its name.
#[inline(never)]
fn counted_requests<S: Service<Request<()>>>(service: &mut S, requests: Vec<Request<()>>) {
    for request in requests {
        drop(black_box(at_once(service.call(request))));
    }
}

fn requests(keys: &[String]) -> Vec<Request<()>> {
    let request = |key: &String| {
        let mut request = Request::new(());
        let bearer: HeaderValue = format!("Bearer {key}").parse().expect("a value");
        request.headers_mut().insert("authorization", bearer);
        request.extensions_mut().insert(PeerAddress((CLIENT, 1).into()));
        request
    };
    keys.iter().map(request).collect()
}

async fn inner(request: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(black_box(request));
    Ok(Response::new(Full::default()))
}
