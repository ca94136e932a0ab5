//! What operators see: events and spans with outcome and reason, and counters.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{Authenticator, KeyStore, Limit, MemoryStore, NewKey, RequestFacts};
use keyauth_testkit::Gated;
use keyauth_tests::World;
use keyauth_tower::{KeyAuthLayer, RequireScope};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::ServiceExt;
use tower_layer::Layer;

#[tokio::test]
async fn events_and_spans_name_outcome_reason_and_key() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let key = world.issue(NewKey::named("observed").owner("observed-owner")).await;
    site.bearer(key.reveal()).await.assert_reached_by("observed-owner");
    let id = key.id();
    assert!(world.has_logged(&format!("admitted key={id} owner=observed-owner")));
    assert!(world.has_logged(&format!("outcome=\"admitted\" code=\"\" key={id}")));
    world.store.disable(&key).await.expect("disabled");
    site.bearer(key.reveal()).await.assert_refused(401, "key_disabled");
    assert!(world.has_logged(&format!("refused a key code=\"key_disabled\" key={id}")));
    assert!(world.has_logged(&format!("outcome=\"denied\" code=\"key_disabled\" key={id}")));
}

#[test]
fn requests_are_counted_by_outcome_and_reason() {
    let recorder = DebuggingRecorder::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    metrics::with_local_recorder(&recorder, || runtime.block_on(some_requests()));
    let expected = [
        ("keyauth_requests_total", "admitted ", 3),
        ("keyauth_requests_total", "denied invalid_key", 1),
        ("keyauth_requests_total", "denied missing_key", 2),
        ("keyauth_requirements_unmet_total", "scope_denied", 3),
    ];
    assert_eq!(counters(&recorder).0, expected.map(owned));
}

#[test]
fn the_cache_counts_what_it_does() {
    let recorder = DebuggingRecorder::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    metrics::with_local_recorder(&recorder, || runtime.block_on(some_lookups()));
    let (counted, others) = counters(&recorder);
    let expected = [
        // The first poll of a process.
        ("keyauth_cache_breaks_total", "", 1),
        ("keyauth_cache_evictions_total", "stale", 1),
        ("keyauth_cache_hits_total", "process", 2),
        ("keyauth_cache_hits_total", "unknown", 1),
        ("keyauth_cache_loads_total", "found", 2),
        ("keyauth_cache_loads_total", "unknown", 1),
    ];
    assert_eq!(counted, expected.map(owned));
    let expected =
        ["keyauth_cache_lease_held", "keyauth_cache_marks", "keyauth_change_propagation_seconds"];
    assert_eq!(others, expected);
}

async fn some_lookups() {
    let store = MemoryStore::new();
    let gate = Gated::elsewhere(store.clone());
    let options = CacheOptions::new().poll_interval(std::time::Duration::from_millis(10));
    let lookup = CachedLookup::with_options(gate.clone(), options);
    let (auth, background) = Authenticator::new(lookup).start();
    gate.wait_for_polls(0).await;
    let key = store.issue(NewKey::named("observed")).await.expect("a key");
    gate.wait_for_polls(1).await;
    let unknown = store.issuer().draft(NewKey::named("unknown")).expect("a key").into_issued();
    let facts = RequestFacts::new();
    for text in [key.reveal(), key.reveal(), key.reveal(), unknown.reveal(), unknown.reveal()] {
        let _ = auth.verify(text, &facts).await.expect("an answer");
    }
    store.revoke(&key).await.expect("revoked");
    gate.wait_for_polls(1).await;
    assert!(auth.verify(key.reveal(), &facts).await.expect("an answer").is_err());
    background.shutdown().await;
}

type Counted = (String, String, u64);

fn owned((name, labels, count): (&str, &str, u64)) -> Counted {
    (name.to_owned(), labels.to_owned(), count)
}

/// Every counter with its labels, and the names of what else there is, in order.
fn counters(recorder: &DebuggingRecorder) -> (Vec<Counted>, Vec<String>) {
    let (mut counted, mut others) = (Vec::new(), Vec::new());
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        let key = key.key();
        let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
        match value {
            DebugValue::Counter(count) => {
                counted.push((key.name().to_owned(), labels.join(" "), count));
            }
            _ => others.push(key.name().to_owned()),
        }
    }
    counted.sort();
    others.sort();
    (counted, others)
}

#[test]
fn what_is_missing_is_said_once() {
    let ruled = NewKey::named("ruled").allow_address("192.0.2.1").limit(Limit::per_day(1));
    let limited = NewKey::named("limited").limit(Limit::per_day(1));
    let without_peer = keyauth_tests::logged_by(async {
        let (auth, key) = keyauth_testkit::authenticator(ruled);
        let service = KeyAuthLayer::new(auth).layer(tower::service_fn(nothing));
        three_times(service, key.reveal(), 403).await;
    });
    assert_eq!(without_peer.matches("WARN").count(), 1, "{without_peer}");
    assert!(without_peer.contains("into_make_service_with_connect_info"), "{without_peer}");
    let without_limiter = keyauth_tests::logged_by(async {
        let (auth, key) = keyauth_testkit::authenticator(limited);
        let service = KeyAuthLayer::new(auth).layer(tower::service_fn(nothing));
        three_times(service, key.reveal(), 200).await;
    });
    assert_eq!(without_limiter.matches("WARN").count(), 1, "{without_limiter}");
    assert!(without_limiter.contains("nothing enforces them"), "{without_limiter}");
    let without_layer = keyauth_tests::logged_by(async {
        let service = RequireScope::new("x").layer(tower::service_fn(nothing));
        three_times(service, "sk_any", 401).await;
    });
    assert_eq!(without_layer.matches("WARN").count(), 1, "{without_layer}");
    assert!(without_layer.contains("outside of the requirement"), "{without_layer}");
    let on_purpose = keyauth_tests::logged_by(async {
        let (auth, _) = keyauth_testkit::authenticator(NewKey::named("unused"));
        let inner = RequireScope::new("x").layer(tower::service_fn(nothing));
        let service = KeyAuthLayer::new(auth).skip(|_| true).layer(inner);
        three_times(service, "sk_any", 401).await;
    });
    assert_eq!(on_purpose.matches("WARN").count(), 0, "{on_purpose}");
}

async fn nothing(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::default())
}

async fn three_times<S, B>(service: S, key: &str, status: u16)
where
    S: tower::Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone,
{
    for _ in 0..3 {
        let request = Request::get("/").header("x-api-key", key).body(()).expect("a request");
        let Ok(response) = service.clone().oneshot(request).await;
        assert_eq!(response.status(), status);
    }
}

async fn some_requests() {
    let (auth, key) = keyauth_testkit::authenticator(NewKey::named("counted"));
    let inner = RequireScope::new("x").layer(tower::service_fn(nothing));
    let service = KeyAuthLayer::new(auth).layer(inner);
    for (text, times) in [(Some(key.reveal()), 3), (Some("sk_x"), 1), (None, 2)] {
        for _ in 0..times {
            let mut request = Request::get("/");
            if let Some(text) = text {
                request = request.header("x-api-key", text);
            }
            let request = request.body(()).expect("a request");
            service.clone().oneshot(request).await.expect("a response");
        }
    }
}
