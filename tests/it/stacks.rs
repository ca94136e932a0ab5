//! The same layer in every stack, on bodies and services as awkward as they come.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use keyauth_core::NewKey;
use keyauth_tests::World;
use keyauth_tower::{Principal, Refusal};
use tower::{Service, ServiceBuilder, ServiceExt};

async fn owner(who: Principal) -> String {
    who.owner().to_string()
}

#[tokio::test]
async fn axum_layer_and_route_layer() {
    let world = World::default();
    let routes = || Router::new().route("/", get(owner));
    let key = world.issue(NewKey::named("valid").owner("ada")).await;
    for (routes, fallback) in
        [(routes().layer(world.layer()), 401), (routes().route_layer(world.layer()), 404)]
    {
        let site = world.serve(routes).await;
        site.get("/", &[]).await.assert_refused(401, "missing_key");
        site.bearer(key.reveal()).await.assert_reached_by("ada");
        assert_eq!(site.get("/nowhere", &[]).await.status, fallback);
    }
}

/// A request body that is `Send` and nothing more.
struct NotSync(#[expect(dead_code, reason = "its type is what counts")] Cell<u8>);

/// A response body without `Default` that knows its size and its end.
struct Awkward(Option<Bytes>);

impl Body for Awkward {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A service that must be polled ready before each call, which its clones have not been.
#[derive(Default)]
struct Particular {
    ready: bool,
}

impl Clone for Particular {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<Request<NotSync>> for Particular {
    type Response = Response<Awkward>;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<NotSync>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called unready");
        if request.uri().path() == "/fail" {
            return ready(Err(std::io::Error::other("the service's own")));
        }
        let sensitive = request.headers().values().all(http::HeaderValue::is_sensitive);
        assert!(sensitive, "credentials are marked");
        let who = request.extensions().get::<Principal>().expect("behind the layer");
        ready(Ok(Response::new(Awkward(Some(Bytes::from(who.owner().to_string()))))))
    }
}

#[tokio::test]
async fn bare_tower_over_a_service_that_is_particular() {
    let world = World::default();
    let key = world.issue(NewKey::named("valid").owner("ada")).await;
    let mut service = ServiceBuilder::new().layer(world.layer()).service(Particular::default());
    let request = |path: &str, key: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {key}"));
        request.body(NotSync(Cell::new(0))).expect("a request")
    };
    // Asked of the store first, then known: both ways to the service.
    for calls in [1, 1] {
        let response = service.ready().await.expect("ready").call(request("/", key.reveal()));
        let response = response.await.expect("a response");
        assert_eq!(world.lookups.calls(), calls);
        let body = response.into_body();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
        assert_eq!(body.collect().await.expect("a body").to_bytes(), "ada");
    }
    let refused = service.ready().await.expect("ready").call(request("/", "sk_mistyped"));
    let refused = refused.await.expect("a refusal is a response");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let reason = refused.extensions().get::<Refusal>().map(Refusal::code);
    assert_eq!(reason, Some("invalid_key"));
    let body = refused.into_body();
    let size = body.size_hint().exact();
    assert_eq!(size, Some(body.collect().await.expect("a body").to_bytes().len() as u64));
    // C7: longer than any server would let through.
    let long = request("/", &"x".repeat(1 << 20));
    let refused = service.ready().await.expect("ready").call(long).await.expect("a response");
    assert_eq!((refused.status(), world.lookups.calls()), (StatusCode::UNAUTHORIZED, 1));
    let failed = service.ready().await.expect("ready").call(request("/fail", key.reveal()));
    let error = failed.await.err().expect("the service's error");
    assert_eq!(error.to_string(), "the service's own");
}

#[tokio::test]
async fn principals_from_elsewhere_are_removed() {
    let world = World::default();
    let foreign = keyauth_testkit::authenticator(NewKey::named("elsewhere").owner("mallory"));
    // Get hold of a real principal of another authenticator.
    let echo = tower::service_fn(async |request: Request<String>| {
        let mut response = Response::new(Full::<Bytes>::default());
        response.extensions_mut().insert(request.extensions().get::<Principal>().cloned());
        Ok::<_, Infallible>(response)
    });
    let call = |request: http::request::Builder| request.body(String::new()).expect("a request");
    let elsewhere =
        ServiceBuilder::new().layer(keyauth_tower::KeyAuthLayer::new(foreign.0)).service(echo);
    let request = call(Request::get("/").header("x-api-key", foreign.1.reveal()));
    let response = elsewhere.oneshot(request).await.expect("a response");
    let principal = response.extensions().get::<Option<Principal>>().cloned().flatten();
    let principal = principal.expect("admitted elsewhere");

    for layer in [world.layer().optional(), world.layer().skip(|_| true)] {
        let mut request = call(Request::get("/"));
        request.extensions_mut().insert(principal.clone());
        let here = ServiceBuilder::new().layer(layer).service(echo);
        let response = here.oneshot(request).await.expect("a response");
        let seen = response.extensions().get::<Option<Principal>>().expect("reached");
        assert!(seen.is_none(), "believed somebody else's principal");
    }
}
