//! What the layer allocates where the record is at hand: the request's extension.
//!
//! A binary of its own, because whoever listens to the log of a process allocates too.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use keyauth_core::{NewKey, RequestFacts};
use keyauth_testkit::at_once;
use keyauth_tower::KeyAuthLayer;
use tower::Service;
use tower_layer::Layer;

#[tokio::test]
async fn a_known_key_costs_the_extension_and_nothing_else() {
    let (auth, key) = keyauth_testkit::authenticator(NewKey::named("valid").scope("a"));
    auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer").expect("admitted");
    let bare = tower::service_fn(async |request: Request<()>| {
        drop(request);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let mut layered = KeyAuthLayer::new(auth).layer(bare);
    let mut bare = bare;
    let request = || {
        let mut request = Request::get("/").body(()).expect("a request");
        let bearer = format!("Bearer {}", key.reveal()).parse().expect("a value");
        request.headers_mut().insert("authorization", bearer);
        // The server's own extension, so that the map itself is not counted.
        request.extensions_mut().insert(0_u8);
        request
    };
    // Once before, for what is set up at the first use: callsites of the log.
    let _ = at_once(layered.call(request()));
    let (for_bare, for_layered) = (request(), request());
    let without = allocations(move || drop(at_once(bare.call(for_bare))));
    let with = allocations(move || drop(at_once(layered.call(for_layered))));
    assert_eq!(with - without, 1, "{with} with the layer, {without} without");
}

fn allocations(call: impl FnOnce()) -> u64 {
    allocation_counter::measure(call).count_total
}
