//! The same rules over gRPC, with tonic at both ends.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Authenticator, Clock, Directory, Group, GroupId, GroupKind, IssuedKey, KeyStore, Limit, NewKey,
    Owner, OwnerId, Rotation, Status as Activity, Tenant, TenantId, Timestamp,
};
use keyauth_ratelimit::LocalLimiter;
use keyauth_testkit::Side;
use keyauth_tests::{Broken, World};
use keyauth_tower::{ClientAddress, ForwardingHeader, KeyAuthLayer, RequireScope};
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
async fn odd_credentials_are_refused_without_a_lookup() {
    let world = World::default();
    let mut client = serve(world.layer(), "health").await;
    let key = world.issue(NewKey::named("valid").scope("health")).await;
    let key = key.reveal();
    let header = |value: String| ("authorization", value);
    // C2, C5, C7, C9, C10
    for value in [
        "Bearer".to_owned(),
        format!("Bearer {key} {key}"),
        format!("Bearer {key},{key}"),
        format!("Bearer {}", "x".repeat(10_000)),
        format!("Bearer {}", &key[..key.len() - 1]),
        format!("Bearer {key}0"),
        format!("Bearer {}", key.replacen("sk_", "pk_", 1)),
        format!("Bearer {}", "0123456789abcdef".repeat(4)),
    ] {
        let outcome = check(&mut client, &[header(value)]).await;
        assert_refused(outcome, Code::Unauthenticated, "invalid_key");
    }
    // C2, C12: other schemes and identities are no credential.
    let claims = [header("Basic eA==".to_owned()), ("x-user", "root".to_owned())];
    assert_refused(check(&mut client, &claims).await, Code::Unauthenticated, "missing_key");
    assert_eq!(world.lookups.calls(), 0);
    // C3, C18
    check(&mut client, &[header(format!("bEaReR {key}"))]).await.expect("any case");
    let jwt = header("Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned());
    check(&mut client, &[jwt.clone(), ("x-api-key", key.to_owned())])
        .await
        .expect("the key counts");
    assert_refused(check(&mut client, &[jwt]).await, Code::Unauthenticated, "invalid_key");
    // C14, C15: well-formed and unknown is told as malformed is.
    let unknown = keyauth_testkit::authenticator(NewKey::named("elsewhere")).1;
    let status = check(&mut client, &[bearer(unknown.reveal())]).await.expect_err("unknown");
    let malformed = check(&mut client, &[bearer("sk_x")]).await.expect_err("malformed");
    assert_eq!((status.code(), status.message()), (malformed.code(), malformed.message()));
    assert_eq!(world.lookups.calls(), 2);
}

#[tokio::test]
async fn time_and_owners_decide() {
    let world = World::default();
    let mut client = serve(world.layer(), "health").await;
    let tenant = Tenant::new(TenantId::default());
    let owner = Owner::new(tenant.id.clone(), OwnerId::new("ada").expect("an owner"));
    let group = GroupId::new("plan").expect("a group");
    let group = Group::new(tenant.id.clone(), group, GroupKind::Standard);
    world.store.put_group(&group).await.expect("a group");
    let soon = world.clock.now().saturating_add(Duration::from_secs(10));
    let new = |name: &str| NewKey::named(name).scope("health").owner("ada");
    let brief = world.issue(new("brief").expires_at(soon)).await;
    let later = world.issue(new("later").starts_at(soon)).await;
    let bound = world.issue(new("bound").group("plan")).await;
    let mut refused = async |key: &IssuedKey, code, reason| {
        let outcome = check(&mut client, &[bearer(key.reveal())]).await;
        world.search(&outcome);
        match reason {
            "" => outcome.expect("admitted"),
            reason => assert_refused(outcome, code, reason),
        }
    };
    let (ok, no, never) = (Code::Ok, Code::Unauthenticated, Code::PermissionDenied);
    // S2, S3, S7
    refused(&brief, ok, "").await;
    refused(&later, no, "key_not_yet_valid").await;
    world.clock.advance(Duration::from_secs(10));
    refused(&brief, no, "key_expired").await;
    refused(&later, ok, "").await;
    world.clock.set_wall(Timestamp::from_unix_seconds(0));
    refused(&brief, no, "key_expired").await;
    // S6
    let rotated = world.store.rotate(&later, Rotation::immediate()).await.expect("rotated");
    refused(&later, no, "key_expired").await;
    refused(&rotated, ok, "").await;
    // S4
    let inactive = Owner { status: Activity::Inactive, ..owner.clone() };
    world.store.put_owner(&inactive).await.expect("an owner");
    refused(&bound, no, "owner_inactive").await;
    world.store.put_owner(&owner).await.expect("an owner");
    let inactive = Tenant { status: Activity::Inactive, ..tenant.clone() };
    world.store.put_tenant(&inactive).await.expect("a tenant");
    refused(&bound, no, "tenant_inactive").await;
    world.store.put_tenant(&tenant).await.expect("a tenant");
    let exclusive = Group { kind: GroupKind::Exclusive, ..group.clone() };
    for (changed, reason) in [
        (Group { status: Activity::Inactive, ..group.clone() }, "group_inactive"),
        (exclusive, "group_denied"),
        (Group { kind: GroupKind::Subscription, ..group.clone() }, "subscription_required"),
        (group, ""),
    ] {
        world.store.put_group(&changed).await.expect("a group");
        refused(&bound, never, reason).await;
    }
}

#[tokio::test]
async fn proxies_are_read_from_the_right() {
    let world = World::default();
    let proxied = ClientAddress::behind(ForwardingHeader::XForwardedFor, ["127.0.0.1"]);
    let mut client =
        serve(world.layer().with_client_address(proxied.expect("a proxy")), "health").await;
    let new = NewKey::named("office").scope("health").allow_address("192.0.2.0/24");
    let key = world.issue(new.deny_address("192.0.2.66")).await;
    let mut from = async |forwarded: &str| {
        let metadata = [bearer(key.reveal()), ("x-forwarded-for", forwarded.to_owned())];
        check(&mut client, &metadata).await
    };
    // A2, A4, A5, A6
    from("192.0.2.1").await.expect("from the office");
    from("203.0.113.9, ::ffff:192.0.2.1").await.expect("the rightmost counts");
    for elsewhere in ["192.0.2.1, 203.0.113.9", "192.0.2.66", "0192.0.2.1", "unknown"] {
        assert_refused(from(elsewhere).await, Code::PermissionDenied, "address_denied");
    }
}

#[tokio::test]
async fn no_answer_is_unavailable() {
    let world = World::default();
    let layer = KeyAuthLayer::new(Authenticator::new(Broken::default()));
    let mut client = serve(layer, "health").await;
    let key = world.issue(NewKey::named("valid")).await;
    let outcome = check(&mut client, &[bearer(key.reveal())]).await;
    world.search(&outcome);
    assert_refused(outcome, Code::Unavailable, "unavailable");
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

#[tokio::test]
async fn limits_tell_clients_when_to_retry() {
    let world = World::default();
    let limiter = LocalLimiter::with_clock(Arc::clone(&world.clock) as _);
    let layer = KeyAuthLayer::new(world.authenticator().with_limiter(limiter));
    let mut client = serve(layer, "health").await;
    for (limit, pushback) in [
        (Limit::smooth(1, Duration::from_millis(1_500), 1), "1500"),
        (Limit::smooth(1, Duration::from_hours(24 * 30), 1), "-1"),
    ] {
        let key = world.issue(NewKey::named("any").scope("health").limit(limit)).await;
        let bearer = [bearer(key.reveal())];
        check(&mut client, &bearer).await.expect("admitted");
        let refused = check(&mut client, &bearer).await;
        let status = refused.as_ref().expect_err("refused");
        let told = status.metadata().get("grpc-retry-pushback-ms");
        assert_eq!(told.and_then(|told| told.to_str().ok()), Some(pushback));
        assert!(status.metadata().get("ratelimit").is_none(), "it must not be in trailers");
        assert_refused(refused, Code::ResourceExhausted, "rate_limited");
    }
}
