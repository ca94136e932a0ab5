//! Places among calls at once, which are given back however a call ends (L9), and limits that a
//! fleet counts.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Extension;
use axum::routing::{any, get};
use axum::{Router, response::Response};
use bytes::Bytes;
use http::StatusCode;
use keyauth_core::{IssuedKey, Limit, Limiter, NewKey, Slots};
use keyauth_ratelimit::{FleetLimiter, WhenAway};
use keyauth_redis::deadpool_redis::{Config, Runtime};
use keyauth_redis::{Redis, RedisLimits};
use keyauth_testkit::RedisServers;
use keyauth_tests::{Site, World};
use keyauth_tower::{KeyAuthLayer, RateLimitLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tower::{Service, ServiceExt};
use tower_layer::Layer;

use crate::limits::auth;

/// A request whose answer the client does not read to its end.
async fn begin(site: &Site, path: &str, key: &IssuedKey) -> TcpStream {
    let mut stream = TcpStream::connect(site.address()).await.expect("a connection");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", key.reveal());
    stream.write_all(request.as_bytes()).await.expect("sent");
    if path != "/never" {
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    stream
}

/// Waits until a call passes, for as long as none may.
async fn wait_until_free(site: &Site, key: &IssuedKey) {
    let free = async {
        while site.bearer(key.reveal()).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), free).await.expect("a place");
}

#[tokio::test]
async fn a_place_is_held_until_the_answer_is_sent_and_comes_back_however_that_ends() {
    // L9
    let world = World::default();
    let (keep, kept) = oneshot::channel::<Slots>();
    let keep = Arc::new(std::sync::Mutex::new(Some(keep)));
    let keeping = get(move |Extension(slots): Extension<Slots>| async move {
        let keep = keep.lock().expect("no panic").take().expect("once");
        keep.send(slots).ok();
        "kept"
    });
    let app = Router::new()
        .route("/endless", any(|| async { Response::new(Body::new(Endless)) }))
        .route("/never", any(std::future::pending::<()>))
        .route("/panic", any(panics))
        .route("/error", any(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/empty", any(|| async { StatusCode::NO_CONTENT }))
        .route("/keep", keeping)
        .fallback(any(|| async { "done" }));
    let site = world.serve(app.layer(KeyAuthLayer::new(auth(&world)))).await;
    let key = world.issue(NewKey::named("any").limit(Limit::at_once(1))).await;
    for path in ["/endless", "/never"] {
        let client = begin(&site, path, &key).await;
        let refused = async { while site.bearer(key.reveal()).await.status == 200 {} };
        tokio::time::timeout(Duration::from_secs(20), refused).await.expect("no place");
        let answer = site.bearer(key.reveal()).await;
        answer.assert_refused(429, "concurrency_limited");
        assert_eq!(answer.header("retry-after"), Some("1"));
        drop(client);
        wait_until_free(&site, &key).await;
    }
    let bearer = format!("Authorization: Bearer {}", key.reveal());
    for (path, status) in [("/error", 500), ("/empty", 204), ("/", 200)] {
        assert_eq!(site.get(path, &[&bearer]).await.status, status);
        wait_until_free(&site, &key).await;
    }
    let mut panicking = TcpStream::connect(site.address()).await.expect("a connection");
    let request = format!("GET /panic HTTP/1.1\r\nHost: a\r\n{bearer}\r\n\r\n");
    panicking.write_all(request.as_bytes()).await.expect("sent");
    let mut nothing = Vec::new();
    panicking.read_to_end(&mut nothing).await.expect("the end");
    assert_eq!(nothing, b"", "the connection ends with it");
    wait_until_free(&site, &key).await;
    // A handler that goes on beyond its answer.
    assert_eq!(site.get("/keep", &[&bearer]).await.status, 200);
    let slots = kept.await.expect("kept");
    site.bearer(key.reveal()).await.assert_refused(429, "concurrency_limited");
    drop(slots);
    wait_until_free(&site, &key).await;
}

#[tokio::test]
async fn a_place_comes_back_where_the_service_or_its_body_fails() {
    // L9
    let world = World::default();
    let app = Router::new()
        .route("/broken", any(|| async { Response::new(Body::new(Ending(Some(Err(Failed))))) }))
        .route("/panics", any(|| async { Response::new(Body::new(Ending(None))) }))
        .route(
            "/trailers",
            any(|| async {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                Response::new(Body::new(Ending(Some(Ok(trailers)))))
            }),
        );
    let site = world.serve(app.layer(KeyAuthLayer::new(auth(&world)))).await;
    let key = world.issue(NewKey::named("any").limit(Limit::at_once(1))).await;
    for path in ["/broken", "/panics", "/trailers"] {
        let mut client = TcpStream::connect(site.address()).await.expect("a connection");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            key.reveal()
        );
        client.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // However the connection ends.
        let _ = client.read_to_end(&mut answer).await;
        let free = async {
            while site.bearer(key.reveal()).await.status == 429 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let free = tokio::time::timeout(Duration::from_secs(20), free).await;
        free.unwrap_or_else(|_| panic!("{path}: no place"));
    }
    // A service that fails, and one that is given up before it answers.
    let layer = KeyAuthLayer::new(auth(&world));
    let fails = layer.layer(tower::service_fn(async |_: http::Request<()>| {
        Err::<Response<Body>, _>("on purpose")
    }));
    let never = layer.layer(tower::service_fn(async |_: http::Request<()>| {
        std::future::pending::<Result<Response<Body>, &str>>().await
    }));
    let request = || {
        let request = http::Request::get("/").header("x-api-key", key.reveal());
        request.body(()).expect("a request")
    };
    for _ in 0..3 {
        let failed = fails.clone().oneshot(request()).await;
        assert_eq!(failed.err(), Some("on purpose"));
        let given_up = never.clone().oneshot(request());
        let given_up = tokio::time::timeout(Duration::from_millis(20), given_up).await;
        assert!(given_up.is_err(), "it was let through, and waits");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleets_limiter_decides_behind_both_layers() {
    let servers = RedisServers::start().await;
    let pool = Config::from_url(servers.urls().remove(0)).create_pool(Some(Runtime::Tokio1));
    let redis = Redis::from(pool.expect("a pool")).with_timeout(Duration::from_millis(500));
    let limiter = || FleetLimiter::new(RedisLimits::new(&redis)).when_away(WhenAway::Closed);
    let (limits, held) = ([Limit::per_hour(3), Limit::at_once(1)], Arc::default());
    let world = World::default();
    let (auth, background) = world.authenticator().with_limiter(limiter()).start();
    let with_keys = site_that_holds(&world, &held, KeyAuthLayer::new(auth)).await;
    let [hour, at_once] = limits.clone();
    let key = world.issue(NewKey::named("any").limit(hour).limit(at_once)).await;
    let bearer = format!("Authorization: Bearer {}", key.reveal());
    let alone = limiter();
    let renewing = alone.start();
    let layer = RateLimitLayer::new(alone, limits).by(|_| Some("all".to_owned()));
    let without = site_that_holds(&world, &held, layer).await;
    for (site, header) in [(&with_keys, bearer.as_str()), (&without, "accept: */*")] {
        assert_eq!(site.get("/", &[header]).await.status, 200);
        // A handler that keeps its place, as one that goes on beyond its answer.
        let free = async { while site.get("/hold", &[header]).await.status != 200 {} };
        tokio::time::timeout(Duration::from_secs(20), free).await.expect("a place");
        site.get("/", &[header]).await.assert_refused(429, "concurrency_limited");
        held.lock().expect("no panic").clear();
        let free = async { while site.get("/", &[header]).await.status != 200 {} };
        tokio::time::timeout(Duration::from_secs(20), free).await.expect("a place");
        let answer = async {
            loop {
                let answer = site.get("/", &[header]).await;
                if answer.body.contains("rate_limited") {
                    break answer;
                }
            }
        };
        let answer =
            tokio::time::timeout(Duration::from_secs(20), answer).await.expect("an hour's");
        answer.assert_refused(429, "rate_limited");
        assert!(answer.header("ratelimit").expect("how they stand").starts_with("\"hour\";r=0;t="));
    }
    servers.signal(0, "STOP");
    for (site, header) in [(&with_keys, bearer.as_str()), (&without, "accept: */*")] {
        site.get("/", &[header]).await.assert_refused(503, "unavailable");
    }
    servers.signal(0, "CONT");
    background.shutdown().await;
    renewing.shutdown().await;
}

/// A service that keeps the places of calls to `/hold`.
async fn site_that_holds<L>(
    world: &World,
    held: &Arc<std::sync::Mutex<Vec<Slots>>>,
    layer: L,
) -> Site
where
    L: Layer<axum::routing::Route> + Clone + Send + Sync + 'static,
    L::Service: Service<http::Request<Body>, Error = std::convert::Infallible>,
    L::Service: Clone + Send + Sync + 'static,
    <L::Service as Service<http::Request<Body>>>::Response: axum::response::IntoResponse + 'static,
    <L::Service as Service<http::Request<Body>>>::Future: Send + 'static,
{
    let held = Arc::clone(held);
    let hold = get(move |Extension(slots): Extension<Slots>| async move {
        held.lock().expect("no panic").push(slots);
        "held"
    });
    let app = Router::new().route("/hold", hold).fallback(any(|| async { "done" }));
    world.serve(app.layer(layer)).await
}

async fn panics() -> StatusCode {
    let nobody: Option<StatusCode> = std::env::var_os("KEYAUTH_NOBODY").map(|_| StatusCode::OK);
    nobody.expect("on purpose")
}

/// A body that has one frame, and then an error, or trailers, or a panic.
struct Ending(Option<Result<http::HeaderMap, Failed>>);

#[derive(Debug)]
struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("on purpose")
    }
}

impl std::error::Error for Failed {}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Failed>>> {
        let end = self.0.take().expect("on purpose");
        std::task::Poll::Ready(Some(end.map(http_body::Frame::trailers)))
    }
}

/// A body that goes on until nobody takes it any more.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[0; 4_096])))))
    }
}
