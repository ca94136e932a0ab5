//! What operators see: events and spans with outcome and reason, and counters.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use keyauth_core::{KeyStore, Limit, NewKey};
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
    let mut counted: Vec<_> = recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            (key.key().name().to_owned(), labels.join(" "), value)
        })
        .collect();
    counted.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    let expected = [
        ("keyauth_requests_total", "admitted ", 3),
        ("keyauth_requests_total", "denied invalid_key", 1),
        ("keyauth_requests_total", "denied missing_key", 2),
        ("keyauth_requirements_unmet_total", "scope_denied", 3),
    ];
    let expected = expected.map(|(name, labels, count)| {
        (name.to_owned(), labels.to_owned(), DebugValue::Counter(count))
    });
    assert_eq!(counted, expected);
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
