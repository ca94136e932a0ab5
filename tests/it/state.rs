//! What a key and its owners are, and when.

use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetWindow, Clock, Directory, Group, GroupId, GroupKind, KeyStore,
    MemoryLedger, NewKey, Owner, OwnerId, Rotation, Status, Tenant, TenantId,
};
use keyauth_metering::LedgerMeter;
use keyauth_tests::{World, app};
use keyauth_tower::{KeyAuthLayer, RequireGroup, RequireScope};

#[tokio::test]
async fn s1_disabled_says_so_whatever_else_is_wrong() {
    let world = World::default();
    let meter = LedgerMeter::new(MemoryLedger::new());
    let (auth, _background) = world.authenticator().with_meter(meter).start();
    let one = Amount::from_units(1).expect("an amount");
    let site = world.serve_behind(KeyAuthLayer::new(auth).with_price(move |_| one)).await;
    let nothing_left = Budget::new(Amount::ZERO, BudgetWindow::Total);
    let new = NewKey::named("poor").budget(nothing_left).expires_in(Duration::from_secs(1));
    let key = world.issue(new).await;
    site.bearer(key.reveal()).await.assert_refused(429, "budget_exhausted");
    world.store.disable(&key).await.expect("disabled");
    site.bearer(key.reveal()).await.assert_refused(401, "key_disabled");
    world.clock.advance(Duration::from_secs(2));
    site.bearer(key.reveal()).await.assert_refused(401, "key_disabled");
    world.store.revoke(&key).await.expect("revoked");
    site.bearer(key.reveal()).await.assert_refused(401, "key_revoked");
}

#[tokio::test]
async fn s2_s3_time_begins_and_ends_to_the_microsecond() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let start = world.clock.now().saturating_add(Duration::from_secs(10));
    let end = start.saturating_add(Duration::from_secs(10));
    let key =
        world.issue(NewKey::named("brief").owner("ada").starts_at(start).expires_at(end)).await;
    site.bearer(key.reveal()).await.assert_refused(401, "key_not_yet_valid");
    world.clock.advance(Duration::from_secs(10) - Duration::from_micros(1));
    site.bearer(key.reveal()).await.assert_refused(401, "key_not_yet_valid");
    world.clock.advance(Duration::from_micros(1));
    site.bearer(key.reveal()).await.assert_reached_by("ada");
    world.clock.advance(Duration::from_secs(10) - Duration::from_micros(1));
    site.bearer(key.reveal()).await.assert_reached_by("ada");
    // The record is at hand by now, and the end is seen all the same.
    let calls = world.lookups.calls();
    world.clock.advance(Duration::from_micros(1));
    site.bearer(key.reveal()).await.assert_refused(401, "key_expired");
    assert_eq!(world.lookups.calls(), calls);
}

#[tokio::test]
async fn s4_whoever_it_belongs_to_can_stop_it() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let tenant = TenantId::default();
    let owner = Owner::new(tenant.clone(), OwnerId::new("ada").expect("an owner"));
    let plan = GroupId::new("plan").expect("a group");
    let group = Group::new(tenant.clone(), plan, GroupKind::Standard);
    world.store.put_group(&group).await.expect("a group");
    let key = world.issue(NewKey::named("bound").owner("ada").group("plan")).await;
    let other = world.issue(NewKey::named("other").owner("grace")).await;
    let reached = async || site.bearer(key.reveal()).await.assert_reached_by("ada");
    reached().await;

    let inactive = Owner { status: Status::Inactive, ..owner.clone() };
    world.store.put_owner(&inactive).await.expect("an owner");
    site.bearer(key.reveal()).await.assert_refused(401, "owner_inactive");
    site.bearer(other.reveal()).await.assert_reached_by("grace");
    world.store.put_owner(&owner).await.expect("an owner");
    reached().await;

    let inactive = Group { status: Status::Inactive, ..group.clone() };
    world.store.put_group(&inactive).await.expect("a group");
    site.bearer(key.reveal()).await.assert_refused(403, "group_inactive");
    let exclusive = Group { kind: GroupKind::Exclusive, ..group.clone() };
    world.store.put_group(&exclusive).await.expect("a group");
    site.bearer(key.reveal()).await.assert_refused(403, "group_denied");
    let paid = Group { kind: GroupKind::Subscription, ..group.clone() };
    world.store.put_group(&paid).await.expect("a group");
    site.bearer(key.reveal()).await.assert_refused(403, "subscription_required");
    world.store.put_group(&group).await.expect("a group");
    reached().await;

    let inactive = Tenant { status: Status::Inactive, ..Tenant::new(tenant.clone()) };
    world.store.put_tenant(&inactive).await.expect("a tenant");
    site.bearer(key.reveal()).await.assert_refused(401, "tenant_inactive");
    site.bearer(other.reveal()).await.assert_refused(401, "tenant_inactive");
    world.store.put_tenant(&Tenant::new(tenant)).await.expect("a tenant");
    reached().await;
}

#[tokio::test]
async fn s5_the_right_key_at_the_wrong_door() {
    use axum::routing::get;
    let world = World::default();
    let plan = GroupId::new("gold").expect("a group");
    let group = Group::new(TenantId::default(), plan, GroupKind::Standard);
    world.store.put_group(&group).await.expect("a group");
    let routes = axum::Router::new()
        .route("/a", get(async || "a").layer(RequireScope::new("scope:a")))
        .route("/b", get(async || "b").layer(RequireScope::all(["scope:a", "scope:b"])))
        .route("/gold", get(async || "gold").layer(RequireGroup::any(["gold", "platinum"])))
        .layer(world.layer());
    let site = world.serve(routes).await;
    let call = async |path: &str, key: &keyauth_core::IssuedKey| {
        site.get(path, &[&format!("X-Api-Key: {}", key.reveal())]).await
    };
    let scoped = || NewKey::named("a").scope("scope:a");
    let grouped = || NewKey::named("gold").group("gold");
    for (new, path, denied) in [
        (scoped(), "/b", Some("scope_denied")),
        (scoped(), "/gold", Some("group_denied")),
        (grouped(), "/a", Some("scope_denied")),
        (scoped(), "/a", None),
        (grouped(), "/gold", None),
    ] {
        // A key that was never seen before: cold first, then warm.
        let key = world.issue(new).await;
        let before = world.lookups.calls();
        for _ in 0..2 {
            let answer = call(path, &key).await;
            match denied {
                Some(code) => answer.assert_refused(403, code),
                None => assert_eq!(answer.body, path.trim_start_matches('/')),
            }
            assert_eq!(world.lookups.calls() - before, 1);
        }
    }
    // What was let through at its own door is not at another.
    let key = world.issue(scoped()).await;
    assert_eq!(call("/a", &key).await.body, "a");
    let refused = call("/b", &key).await;
    refused.assert_refused(403, "scope_denied");
    let expected = "Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"scope:a scope:b\"";
    assert_eq!(refused.header("www-authenticate"), Some(expected));
    call("/gold", &key).await.assert_refused(403, "group_denied");
    site.get("/a", &[]).await.assert_refused(401, "missing_key");
}

#[tokio::test]
async fn s6_rotation_with_and_without_grace() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let first = world.issue(NewKey::named("rotating").owner("ada")).await;
    let rotate = async |grace| {
        let key = world.store.rotate(&first, Rotation::with_grace(grace)).await.expect("rotated");
        world.guard(key.reveal());
        key
    };
    let grace = Duration::from_secs(60);
    let second = rotate(grace).await;
    site.bearer(first.reveal()).await.assert_reached_by("ada");
    site.bearer(second.reveal()).await.assert_reached_by("ada");
    world.clock.advance(grace);
    site.bearer(first.reveal()).await.assert_refused(401, "key_expired");
    site.bearer(second.reveal()).await.assert_reached_by("ada");

    let third = rotate(grace).await;
    let fourth = rotate(grace).await;
    site.bearer(second.reveal()).await.assert_refused(401, "key_expired");
    site.bearer(third.reveal()).await.assert_reached_by("ada");
    site.bearer(fourth.reveal()).await.assert_reached_by("ada");
    world.store.revoke(&first).await.expect("revoked");
    for key in [&first, &second, &third, &fourth] {
        site.bearer(key.reveal()).await.assert_refused(401, "key_revoked");
    }
}

#[tokio::test]
async fn s7_a_clock_that_goes_back_revives_nothing() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let noon = world.clock.now();
    let hour = Duration::from_secs(3_600);
    let soon = noon.saturating_add(Duration::from_secs(1));
    let seen = world.issue(NewKey::named("seen").expires_at(soon)).await;
    let unseen = world.issue(NewKey::named("unseen").expires_at(soon)).await;
    let lasting = world.issue(NewKey::named("lasting").owner("ada")).await;
    world.clock.advance(hour);
    site.bearer(seen.reveal()).await.assert_refused(401, "key_expired");
    world.clock.set_wall(noon);
    site.bearer(seen.reveal()).await.assert_refused(401, "key_expired");
    // Nobody had looked at this one while it was expired.
    site.bearer(unseen.reveal()).await.assert_refused(401, "key_expired");
    site.bearer(lasting.reveal()).await.assert_reached_by("ada");
}

#[tokio::test]
async fn a_route_sees_no_principal_but_the_layers() {
    let world = World::default();
    let foreign = keyauth_testkit::authenticator(NewKey::named("elsewhere").owner("mallory"));
    let elsewhere = KeyAuthLayer::new(foreign.0);
    // Two authenticators: the inner one must not believe the outer one's principal.
    let inner = app().layer(world.layer().optional());
    let site = world.serve(inner.layer(elsewhere.optional())).await;
    let header = format!("X-Api-Key: {}", foreign.1.reveal());
    site.get("/", &[&header]).await.assert_refused(401, "invalid_key");
    site.get("/", &[]).await.assert_reached_by("nobody");
}
