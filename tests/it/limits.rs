//! Limits, as clients meet them.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Authenticator, Directory, Group, GroupId, GroupKind, KeyStore, Limit, LimitSubject, NewKey,
    TenantId,
};
use keyauth_ratelimit::{FailedAttempts, LocalLimiter};
use keyauth_tests::{Broken, World, app};
use keyauth_tower::{ClientAddress, ForwardingHeader, KeyAuthLayer, RateLimitLayer};

pub(crate) fn auth(world: &World) -> Authenticator {
    let limiter = LocalLimiter::with_clock(Arc::clone(&world.clock) as _);
    world.authenticator().with_limiter(limiter)
}

#[tokio::test]
async fn refusals_say_when_to_retry_and_how_the_limits_stand() {
    // L4
    let world = World::default();
    let site = world.serve_behind(KeyAuthLayer::new(auth(&world)).with_x_ratelimit()).await;
    let limits = [Limit::per_minute(2), Limit::per_hour(100)];
    let [minute, hour] = limits;
    let key = world.issue(NewKey::named("any").owner("ada").limit(minute).limit(hour)).await;
    for _ in 0..2 {
        let answer = site.bearer(key.reveal()).await;
        answer.assert_reached_by("ada");
        assert_eq!(answer.header("ratelimit"), None, "only where it is asked for");
        world.clock.advance(Duration::from_secs(10));
    }
    let answer = site.bearer(key.reveal()).await;
    answer.assert_refused(429, "rate_limited");
    let policy = r#""minute";q=2;w=60, "hour";q=100;w=3600"#;
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    // The place is free with the part of the minute that it was taken in, 3 s at most later. The
    // clock began at a multiple of those.
    let standing = answer.header("ratelimit").expect("how they stand");
    assert!(standing.starts_with(r#""minute";r=0;t=4"#), "{standing}");
    assert!(standing.contains(r#", "hour";r=98;t="#), "{standing}");
    let after: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("when");
    assert!((40..=43).contains(&after), "{after}");
    assert_eq!(answer.header("x-ratelimit-limit"), Some("2"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(answer.header("x-ratelimit-reset"), Some(after.to_string().as_str()));
    assert!(answer.body.contains(r#""violated-policies":["minute"]"#), "{}", answer.body);
    world.clock.advance(Duration::from_secs(after - 4));
    site.bearer(key.reveal()).await.assert_refused(429, "rate_limited");
    world.clock.advance(Duration::from_secs(4));
    site.bearer(key.reveal()).await.assert_reached_by("ada");
}

#[tokio::test]
async fn limits_of_all_it_belongs_to_are_told_by_whose_they_are() {
    let world = World::default();
    let layer = KeyAuthLayer::new(auth(&world)).tell_limits().with_cost(|head| {
        let tokens = head.headers.get("tokens").and_then(|value| value.to_str().ok()?.parse().ok());
        tokens.unwrap_or(1)
    });
    let site = world.serve_behind(layer).await;
    let tenant = TenantId::default();
    let plan = GroupId::new("plan").expect("a group");
    let limits = vec![
        Limit::per_minute(1_000).of_cost().named("tokens").for_each(LimitSubject::Owner),
        Limit::at_once(5),
        Limit::per_day(u64::MAX),
    ];
    let plan = Group { limits, ..Group::new(tenant, plan, GroupKind::Standard) };
    world.store.put_group(&plan).await.expect("a group");
    let key = world.issue(NewKey::named("any").owner("ada").group("plan")).await;
    let bearer = format!("Authorization: Bearer {}", key.reveal());
    let answer = site.get("/", &[&bearer, "tokens: 400"]).await;
    answer.assert_reached_by("ada");
    let policy = "\"owner/tokens\";q=1000;w=60;qu=\"cost\", \
                  \"group/at_once\";q=5;qu=\"concurrent-requests\", \
                  \"group/day\";q=999999999999999";
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    let standing = answer.header("ratelimit").expect("how they stand");
    assert!(standing.starts_with("\"owner/tokens\";r=600;t="), "{standing}");
    assert!(standing.contains("\"group/at_once\";r=4;t=1, "), "{standing}");
    // One that is too large for what is left passes nothing, and takes nothing.
    site.get("/", &[&bearer, "tokens: 601"]).await.assert_refused(429, "rate_limited");
    site.get("/", &[&bearer, "tokens: 600"]).await.assert_reached_by("ada");
    let other = world.issue(NewKey::named("other").owner("bob").group("plan")).await;
    let bearer = format!("Authorization: Bearer {}", other.reveal());
    site.get("/", &[&bearer, "tokens: 1000"]).await.assert_reached_by("bob");
}

#[tokio::test]
async fn layers_inside_each_other_count_a_request_once() {
    let world = World::default();
    let layer = KeyAuthLayer::new(auth(&world));
    let site = world.serve(app().layer(layer.clone()).layer(layer)).await;
    let key = world.issue(NewKey::named("any").owner("ada").limit(Limit::per_minute(2))).await;
    for _ in 0..2 {
        site.bearer(key.reveal()).await.assert_reached_by("ada");
    }
    site.bearer(key.reveal()).await.assert_refused(429, "rate_limited");
}

#[tokio::test]
async fn without_a_limiter_the_log_says_that_limits_are_not_enforced() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let key = world.issue(NewKey::named("any").owner("ada").limit(Limit::per_minute(0))).await;
    site.bearer(key.reveal()).await.assert_reached_by("ada");
    assert!(world.has_logged("give `Authenticator::with_limiter` a limiter"));
}

#[tokio::test]
async fn clients_without_keys_are_limited_by_network_or_name() {
    let world = World::default();
    let limiter = || LocalLimiter::with_clock(Arc::clone(&world.clock) as _);
    let behind = ClientAddress::behind(ForwardingHeader::XForwardedFor, ["127.0.0.1"]);
    let layer = RateLimitLayer::new(limiter(), [Limit::per_minute(2), Limit::at_once(1)]);
    let layer = layer.by_address(behind.expect("a proxy")).tell_limits().with_x_ratelimit();
    let site = world.serve(app().layer(layer)).await;
    let from = async |address: &str| site.get("/", &[&format!("X-Forwarded-For: {address}")]).await;
    for network in [["192.0.2.1"; 3], ["2001:db8::1", "2001:db8::ffff:2", "2001:db8::3"]] {
        for (address, left) in network.into_iter().zip(["1", "0"]) {
            let answer = from(address).await;
            assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (200, Some("0")));
            let standing = answer.header("ratelimit").expect("how they stand");
            assert!(standing.starts_with(&format!("\"minute\";r={left};t=")), "{standing}");
        }
        from(network[2]).await.assert_refused(429, "rate_limited");
    }
    assert_eq!(from("2001:db8:0:1::1").await.status, 200, "another network");
    assert_eq!(from("192.0.2.2").await.status, 200);

    let layer = RateLimitLayer::new(limiter(), [Limit::per_minute(1)]).by(|head| {
        let session = head.headers.get("session")?.to_str().ok()?;
        Some(session.to_owned())
    });
    let site = world.serve(app().layer(layer)).await;
    for session in ["session: a", "session: b"] {
        assert_eq!(site.get("/", &[session]).await.status, 200);
        site.get("/", &[session]).await.assert_refused(429, "rate_limited");
    }
    assert_eq!(site.get("/", &[]).await.status, 200, "nobody to be limited");
}

#[tokio::test]
async fn who_tries_keys_is_held_up_and_nobody_else() {
    // L10
    let world = World::default();
    let minute = Duration::from_secs(60);
    let guard = || FailedAttempts::with_clock(5, minute, Arc::clone(&world.clock) as _);
    let behind = ClientAddress::behind(ForwardingHeader::XForwardedFor, ["127.0.0.1"]);
    let layer = world.layer().with_guard(guard()).with_client_address(behind.expect("a proxy"));
    let site = world.serve_behind(layer).await;
    let [warm, cold, fresh] =
        ["warm", "cold", "fresh"].map(|name| NewKey::named(name).owner("ada"));
    let (warm, cold) = (world.issue(warm).await, world.issue(cold).await);
    let from = async |address: &str, key: &str| {
        let (address, key) = (format!("X-Forwarded-For: {address}"), format!("X-Api-Key: {key}"));
        site.get("/", &[&address, &key]).await
    };
    from("192.0.2.1", warm.reveal()).await.assert_reached_by("ada");
    // Nobody's, malformed, foreign: five in all. Nothing presented, and keys that are refused for
    // what they are, count for nothing.
    let unknown = || world.store.issuer().draft(NewKey::named("unknown")).expect("a key");
    for _ in 0..3 {
        site.get("/", &["X-Forwarded-For: 192.0.2.1"]).await.assert_refused(401, "missing_key");
    }
    for network in [["192.0.2.1"; 2], ["2001:db8::1", "2001:db8::ffff"]] {
        for _ in 0..3 {
            let key = unknown().into_issued();
            from(network[0], key.reveal()).await.assert_refused(401, "invalid_key");
        }
        from(network[1], "sk_mistyped").await.assert_refused(401, "invalid_key");
        from(network[1], "foreign").await.assert_refused(401, "invalid_key");
        let lookups = world.lookups.calls();
        for _ in 0..3 {
            let key = unknown().into_issued();
            let answer = from(network[1], key.reveal()).await;
            answer.assert_refused(429, "too_many_failures");
            let after = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
            assert!((57..=63).contains(&after.expect("when")), "{after:?}");
        }
        from(network[1], cold.reveal()).await.assert_refused(429, "too_many_failures");
        assert_eq!(world.lookups.calls(), lookups, "nothing is looked up for him");
        from(network[1], warm.reveal()).await.assert_reached_by("ada");
    }
    from("192.0.2.2", cold.reveal()).await.assert_reached_by("ada");
    world.clock.advance(Duration::from_secs(63));
    let fresh = world.issue(fresh).await;
    from("192.0.2.1", fresh.reveal()).await.assert_reached_by("ada");
    // A store that gives no answer is nobody's failure.
    let broken = Authenticator::new(Broken::default());
    let layer = KeyAuthLayer::new(broken).with_guard(guard());
    let site = world.serve_behind(layer.with_client_address(ClientAddress::peer())).await;
    for _ in 0..9 {
        site.bearer(fresh.reveal()).await.assert_refused(503, "unavailable");
    }
}

#[tokio::test]
async fn a_guard_that_cannot_tell_clients_apart_holds_nobody_up() {
    let world = World::default();
    let site = world.serve_behind(world.layer().with_guard(FailedAttempts::new(1, Duration::MAX)));
    let site = site.await;
    for _ in 0..5 {
        site.bearer("sk_mistyped").await.assert_refused(401, "invalid_key");
    }
    assert!(world.has_logged("a guard holds nobody up before"));
}
