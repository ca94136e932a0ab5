//! The same rules over gRPC, with tonic at both ends.

use keyauth_core::{KeyStore, NewKey};
use keyauth_testkit::Side;
use keyauth_tests::World;
use keyauth_tower::{KeyAuthLayer, RequireScope};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower_layer::Layer;

/// Serves tonic's own health service, behind a layer and a scope.
async fn serve(layer: KeyAuthLayer, scope: &str) -> HealthClient<Channel> {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let health = RequireScope::new(scope).layer(health);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    let serving = Server::builder()
        .layer(layer)
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(serving);
    let channel = Channel::from_shared(endpoint).expect("a URI").connect().await;
    HealthClient::new(channel.expect("a connection"))
}

async fn check(
    client: &mut HealthClient<Channel>,
    metadata: &[(&'static str, String)],
) -> Result<(), Status> {
    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    for (name, value) in metadata {
        request.metadata_mut().append(*name, value.parse().expect("metadata"));
    }
    client.check(request).await.map(drop)
}

#[track_caller]
fn assert_refused(outcome: Result<(), Status>, code: Code, reason: &str) {
    let status = outcome.expect_err("must be refused");
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().starts_with(&format!("{reason}: ")), "{status:?}");
}

fn bearer(key: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {key}"))
}

#[tokio::test]
async fn credentials_and_states_have_their_codes() {
    let world = World::default();
    let mut client = serve(world.layer(), "health").await;
    let key = world.issue(NewKey::named("valid").scope("health")).await;
    let text = key.reveal().to_owned();
    check(&mut client, &[bearer(&text)]).await.expect("admitted");
    check(&mut client, &[("x-api-key", text.clone())]).await.expect("admitted");

    assert_refused(check(&mut client, &[]).await, Code::Unauthenticated, "missing_key");
    for bad in ["sk_mistyped", "foreign", "a b", ""] {
        assert_refused(
            check(&mut client, &[bearer(bad)]).await,
            Code::Unauthenticated,
            "invalid_key",
        );
    }
    let twice = [bearer(&text), bearer(&text)];
    assert_refused(check(&mut client, &twice).await, Code::InvalidArgument, "invalid_request");
    let scopeless = world.issue(NewKey::named("scopeless")).await;
    let answer = check(&mut client, &[bearer(scopeless.reveal())]).await;
    assert_refused(answer, Code::PermissionDenied, "scope_denied");

    world.store.disable(&key).await.expect("disabled");
    assert_refused(
        check(&mut client, &[bearer(&text)]).await,
        Code::Unauthenticated,
        "key_disabled",
    );
    world.store.enable(&key).await.expect("enabled");
    check(&mut client, &[bearer(&text)]).await.expect("admitted");
    world.store.revoke(&key).await.expect("revoked");
    assert_refused(
        check(&mut client, &[bearer(&text)]).await,
        Code::Unauthenticated,
        "key_revoked",
    );
}

#[tokio::test]
async fn addresses_and_endpoints_are_those_of_the_call() {
    let world = World::default();
    let mut client = serve(world.layer(), "health").await;
    let new = |name: &str| NewKey::named(name).scope("health");
    let near = world.issue(new("near").allow_address("127.0.0.1")).await;
    check(&mut client, &[bearer(near.reveal())]).await.expect("tonic knows its peer");
    let far = world.issue(new("far").allow_address("192.0.2.1")).await;
    let forged = [bearer(far.reveal()), ("x-forwarded-for", "192.0.2.1".to_owned())];
    assert_refused(check(&mut client, &forged).await, Code::PermissionDenied, "address_denied");
    let called = world.issue(new("called").endpoint("POST /grpc.health.v1.Health/Check")).await;
    check(&mut client, &[bearer(called.reveal())]).await.expect("the endpoint is named");
    let other = world.issue(new("other").endpoint("/grpc.health.v1.Health/Watch")).await;
    let answer = check(&mut client, &[bearer(other.reveal())]).await;
    assert_refused(answer, Code::PermissionDenied, "endpoint_denied");
}

#[tokio::test]
async fn health_checks_can_be_skipped_and_http_only_is_for_http() {
    let world = World::default();
    let skipping =
        world.layer().skip(|head| head.original_path() == "/grpc.health.v1.Health/Check");
    let mut client = serve(skipping, "health").await;
    // Skipped by the layer, and refused by what stands behind it all the same.
    assert_refused(check(&mut client, &[]).await, Code::Unauthenticated, "missing_key");

    let mut client = serve(world.layer().http_only(), "health").await;
    let status = check(&mut client, &[]).await.expect_err("refused");
    assert!(status.message().contains("401"), "{status:?}");
    // What stands behind an HTTP-only layer is told in its words too.
    let scopeless = world.issue(NewKey::named("scopeless")).await;
    let status = check(&mut client, &[bearer(scopeless.reveal())]).await.expect_err("refused");
    assert!(status.message().contains("403"), "{status:?}");
}

#[tokio::test]
async fn a_call_given_up_while_its_key_is_looked_up_harms_nobody() {
    let world = World::default();
    let mut client = serve(world.layer(), "health").await;
    let key = world.issue(NewKey::named("valid").scope("health")).await;
    world.lookups.hold(Side::Before);
    let (mut other, text) = (client.clone(), key.reveal().to_owned());
    let call = tokio::spawn(async move { check(&mut other, &[bearer(&text)]).await });
    world.lookups.wait_for_held(1).await;
    call.abort();
    world.lookups.release();
    check(&mut client, &[bearer(key.reveal())]).await.expect("admitted");
}
