//! What operators see: events and spans with outcome and reason, and counters.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use keyauth_core::{KeyStore, NewKey};
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

async fn some_requests() {
    let (auth, key) = keyauth_testkit::authenticator(NewKey::named("counted"));
    let inner = tower::service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = KeyAuthLayer::new(auth).layer(RequireScope::new("x").layer(inner));
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
