//! The cases of [`key_store_conformance!`](crate::key_store_conformance).
//!
//! Called by the macro; each takes a store that was just opened.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Amount, Authenticator, Budget, BudgetWindow, Clock, CustomKeys, Denial, Directory, Group,
    GroupId, GroupKind, IssuedKey, Issuer, Key, KeyDigest, KeyId, KeyLookup, KeyPage, KeyPrefix,
    KeyRecord, KeyRef, KeyStatus, KeyStore, KeyUpdate, Keyring, Limit, LookupError, Metadata,
    NewKey, Owner, OwnerId, Parsed, Pepper, RequestFacts, Rotation, Status, StoreError,
    StoreErrorKind, Subscription, Tenant, TenantId, Timestamp,
};
use serde_json::{Map, json};

use crate::FakeClock;

/// What a case works with besides the store.
#[derive(Debug)]
pub struct Bench {
    clock: Arc<FakeClock>,
}

impl Bench {
    /// A bench, and the issuer to open the store with.
    #[must_use]
    pub fn new() -> (Self, Issuer) {
        let clock = Arc::new(FakeClock::default());
        let issuer = Issuer::new().with_keyring(keyring()).with_clock(Arc::clone(&clock) as _);
        (Self { clock }, issuer)
    }

    fn auth<S: KeyStore + Clone + 'static>(&self, store: &S) -> Authenticator {
        Authenticator::new(store.clone()).with_clock(Arc::clone(&self.clock) as _)
    }

    /// The decision about a key, without any facts.
    async fn decide<S>(&self, store: &S, key: &str) -> Result<(), Denial>
    where
        S: KeyStore + Clone + 'static,
    {
        let decision = self.auth(store).verify(key, &RequestFacts::new()).await;
        decision.expect("the store answers").map(drop)
    }

    /// The record that a lookup finds.
    async fn record<S>(&self, store: &S, key: &str) -> Option<KeyRecord>
    where
        S: KeyStore + Clone + 'static,
    {
        let auth = self.auth(store);
        let Parsed::Key(key) = auth.parse(key.as_bytes()) else { panic!("no key of ours") };
        auth.find(key).await.expect("the store answers").map(Arc::unwrap_or_clone)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn keyring() -> Keyring {
    let prefix = KeyPrefix::new("sk_live").expect("a prefix");
    let pepper = Pepper::new(1, [1; 32]).expect("a pepper");
    let keyring = Keyring::new().with_prefix(prefix).with_pepper(pepper);
    keyring.and_then(Keyring::with_custom_keys).expect("a keyring")
}

#[track_caller]
fn check_kind<T: std::fmt::Debug>(outcome: Result<T, StoreError>, expected: &StoreErrorKind) {
    assert_eq!(outcome.expect_err("must be refused").kind(), expected);
}

/// Asserts that input was refused, with problems of exactly these fields.
#[track_caller]
fn check_problems<T: std::fmt::Debug>(outcome: Result<T, StoreError>, fields: &[&str]) {
    let error = outcome.expect_err("must be refused");
    let StoreErrorKind::InvalidInput(input) = error.kind() else { panic!("{error:?}") };
    let found: Vec<_> = input.problems().iter().map(|problem| problem.field()).collect();
    assert_eq!(found, fields, "{input}");
}

async fn issue(store: &impl KeyStore, new: NewKey) -> IssuedKey {
    store.issue(new).await.expect("a valid key is issued")
}

fn owner(id: &str) -> OwnerId {
    OwnerId::new(id).expect("an owner")
}

fn group(id: &str) -> GroupId {
    GroupId::new(id).expect("a group")
}

/// A key is found by its text, also through another handle; unknown ones are not.
pub async fn issued_keys_are_found_by_their_text_alone<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let key = issue(&store, NewKey::named("first")).await;
    assert!(key.reveal().starts_with("sk_live_") && key.reveal().len() == 57);
    assert_eq!(key.key().hint.as_str(), &key.reveal()[..12]);
    let record = bench.record(&store, key.reveal()).await.expect("the key is there");
    assert_eq!(&record.key, key.key());
    assert_eq!(record.secret_ends_at, None);
    assert_eq!(bench.decide(&store.clone(), key.reveal()).await, Ok(()));

    let other = Issuer::new().with_keyring(keyring());
    let unknown = other.draft(NewKey::named("unknown")).expect("a valid key").into_issued();
    assert_eq!(bench.record(&store, unknown.reveal()).await, None);
    assert_eq!(bench.decide(&store, unknown.reveal()).await, Err(Denial::InvalidKey));
}

/// Everything a key can have comes back as it was given.
pub async fn records_carry_everything<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = TenantId::new("acme").expect("a tenant");
    store.put_tenant(&Tenant::new(tenant.clone())).await.expect("a tenant");
    let plan = Group::new(tenant.clone(), group("plan"), GroupKind::Standard);
    store.put_group(&plan).await.expect("a group");
    let new = NewKey::named("every field \u{1f511}")
        .tenant("acme")
        .owner("ada@example.org")
        .group("plan")
        .scope("b")
        .scope("a")
        .allow_address("192.0.2.0/24")
        .allow_address("2001:db8::/32")
        .deny_address("192.0.2.66")
        .endpoint("GET,HEAD /reports/*")
        .resource("gpt-4*")
        .limit(Limit::per_minute(u64::MAX))
        .limit(Limit::per_month(0))
        .budget(Budget::new(Amount::from_fractions(i64::MAX), BudgetWindow::Hours(5)))
        .metadata("nested", json!({ "list": [1, 2.5, null, "\u{e4}"] }))
        .starts_at(bench.now())
        .expires_in(Duration::from_micros(1));
    let key = issue(&store, new).await;
    let record = bench.record(&store, key.reveal()).await.expect("the key is there");
    assert_eq!(&record.key, key.key());
    assert_eq!(store.key(&KeyRef::from(&key)).await.expect("the key is there"), *key.key());
    assert_eq!(record.key.expires_at, Some(bench.now().saturating_add(Duration::from_micros(1))));
    assert_eq!(
        record.key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!((record.tenant, record.owner), (Status::Active, Status::Active));
    assert_eq!(record.group.map(|group| group.kind), Some(GroupKind::Standard));
}

/// Absent means unchanged.
pub async fn updates_write_only_what_they_name<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let plan = Group::new(TenantId::default(), group("plan"), GroupKind::Standard);
    store.put_group(&plan).await.expect("a group");
    let new = NewKey::named("before")
        .scope("a")
        .allow_address("192.0.2.1")
        .deny_address("192.0.2.2")
        .endpoint("/a")
        .resource("a")
        .limit(Limit::per_hour(1))
        .metadata("a", 1)
        .expires_in(Duration::from_secs(60));
    let key = issue(&store, new).await;
    let later = bench.now().saturating_add(Duration::from_secs(120));
    let metadata = Metadata::from(Map::from_iter([("b".to_owned(), json!(2))]));
    let mut expected = key.key().clone();
    type Step = (KeyUpdate, fn(&mut Key, &KeyRecord));
    let steps: [Step; 10] = [
        (KeyUpdate::new().name("after"), |key, new| key.name = new.key.name.clone()),
        (KeyUpdate::new().scopes(["b"]), |key, new| key.scopes = new.key.scopes.clone()),
        (KeyUpdate::new().allow_addresses(["192.0.2.3"]), |key, new| {
            key.addresses.allow = new.key.addresses.allow.clone();
        }),
        (KeyUpdate::new().deny_addresses(["192.0.2.4"]), |key, new| {
            key.addresses.deny = new.key.addresses.deny.clone();
        }),
        (KeyUpdate::new().endpoints(["/b"]), |key, new| key.endpoints = new.key.endpoints.clone()),
        (KeyUpdate::new().resources(["b"]), |key, new| key.resources = new.key.resources.clone()),
        (KeyUpdate::new().limits([]), |key, _| key.limits.clear()),
        (KeyUpdate::new().metadata(metadata), |key, new| {
            key.metadata = new.key.metadata.clone();
        }),
        (KeyUpdate::new().expires_at(later), |key, new| key.expires_at = new.key.expires_at),
        (KeyUpdate::new().group("plan"), |key, new| key.group = new.key.group.clone()),
    ];
    for (update, change) in steps {
        bench.clock.advance(Duration::from_secs(1));
        let updated = store.update(&key, update.clone()).await.expect("a valid update");
        let record = bench.record(&store, key.reveal()).await.expect("the key is there");
        assert_eq!(updated, record.key, "{update:?}");
        assert_ne!(expected, record.key, "{update:?} changes something");
        change(&mut expected, &record);
        expected.updated_at = bench.now();
        assert_eq!(expected, record.key, "{update:?} changes nothing else");
    }
}

/// Empty means cleared; what is wrong is named and nothing is written.
pub async fn empty_lists_clear_and_invalid_ones_change_nothing<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let new = NewKey::named("rules").scope("a").allow_address("192.0.2.1").endpoint("/a");
    let key = issue(&store, new.expires_in(Duration::from_secs(9))).await;
    let bad = KeyUpdate::new()
        .name("a\nb")
        .scopes(["ok", "not ok"])
        .allow_addresses(["10.0.0.0/33", "10.0.0.1", "10.0.0.1/8"])
        .endpoints(["nowhere"])
        .expires_at(bench.now());
    let fields = [
        "expires_at",
        "name",
        "scopes[1]",
        "addresses.allow[0]",
        "addresses.allow[2]",
        "endpoints[0]",
    ];
    check_problems(store.update(&key, bad).await, &fields);
    let record = bench.record(&store, key.reveal()).await.expect("the key is there");
    assert_eq!(&record.key, key.key());

    let none = [""; 0];
    let clear = KeyUpdate::new().allow_addresses(none).endpoints(none).without_expiry();
    let cleared = store.update(&key, clear).await.expect("a valid update");
    assert!(cleared.addresses.allow.is_empty() && cleared.endpoints.is_empty());
    assert_eq!((cleared.expires_at, &cleared.scopes), (None, &key.key().scopes));
    let bad = NewKey::named("").owner("a b").scope("").expires_in(Duration::ZERO);
    check_problems(store.issue(bad).await, &["name", "owner", "expires_at", "scopes[0]"]);
}

/// Also where an update brings only one of the two times.
pub async fn keys_cannot_end_before_they_begin<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let start = bench.now().saturating_add(Duration::from_secs(100));
    let key = issue(&store, NewKey::named("later").starts_at(start)).await;
    check_problems(store.update(&key, KeyUpdate::new().expires_at(start)).await, &["expires_at"]);
    let end = start.saturating_add(Duration::from_secs(1));
    store.update(&key, KeyUpdate::new().expires_at(end)).await.expect("a valid update");
    check_problems(store.update(&key, KeyUpdate::new().starts_at(end)).await, &["expires_at"]);
    assert_eq!(bench.decide(&store, key.reveal()).await, Err(Denial::KeyNotYetValid));
    bench.clock.set_wall(start);
    assert_eq!(bench.decide(&store, key.reveal()).await, Ok(()));
    bench.clock.set_wall(end);
    assert_eq!(bench.decide(&store, key.reveal()).await, Err(Denial::KeyExpired));
}

/// Disabling and enabling, as often as one likes.
pub async fn disabled_keys_can_be_enabled<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let key = issue(&store, NewKey::named("switch")).await;
    for _ in 0..2 {
        let disabled = store.disable(&key).await.expect("can be disabled");
        assert_eq!(disabled.status, KeyStatus::Disabled);
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(store.disable(&key).await.expect("once more is the same"), disabled);
        assert_eq!(bench.decide(&store, key.reveal()).await, Err(Denial::KeyDisabled));
        store.enable(&key).await.expect("can be enabled");
        assert_eq!(bench.decide(&store, key.reveal()).await, Ok(()));
    }
}

/// Nothing brings a revoked key back.
pub async fn revoked_keys_stay_revoked<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let key = issue(&store, NewKey::named("gone")).await;
    store.disable(&key).await.expect("can be disabled");
    let revoked = store.revoke(&key).await.expect("can be revoked");
    assert_eq!((revoked.status, revoked.revoked_at), (KeyStatus::Revoked, Some(bench.now())));
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(store.revoke(&key).await.expect("once more is the same"), revoked);
    check_kind(store.enable(&key).await, &StoreErrorKind::Revoked);
    check_kind(store.disable(&key).await, &StoreErrorKind::Revoked);
    check_kind(store.update(&key, KeyUpdate::new().name("back")).await, &StoreErrorKind::Revoked);
    check_kind(store.rotate(&key, Rotation::immediate()).await, &StoreErrorKind::Revoked);
    assert_eq!(store.key(&KeyRef::from(&key)).await.expect("still there"), revoked);
    assert_eq!(bench.decide(&store, key.reveal()).await, Err(Denial::KeyRevoked));
}

/// S6: the newest secret works, the one before it for the grace, no other.
pub async fn rotation_ends_old_secrets<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let grace = Duration::from_secs(100);
    let first = issue(&store, NewKey::named("rotating").scope("a")).await;
    let second = store.rotate(&first, Rotation::with_grace(grace)).await.expect("can be rotated");
    assert_eq!((second.id(), &second.key().scopes), (first.id(), &first.key().scopes));
    assert_eq!(second.key().hint.as_str(), &second.reveal()[..12]);
    assert_eq!(bench.decide(&store, first.reveal()).await, Ok(()));
    assert_eq!(bench.decide(&store, second.reveal()).await, Ok(()));
    bench.clock.advance(grace - Duration::from_micros(1));
    assert_eq!(bench.decide(&store, first.reveal()).await, Ok(()));
    bench.clock.advance(Duration::from_micros(1));
    assert_eq!(bench.decide(&store, first.reveal()).await, Err(Denial::KeyExpired));

    let third = store.rotate(&first, Rotation::with_grace(grace)).await.expect("can be rotated");
    let fourth = store.rotate(&first, Rotation::with_grace(grace)).await.expect("can be rotated");
    assert_eq!(bench.decide(&store, second.reveal()).await, Err(Denial::KeyExpired));
    assert_eq!(bench.decide(&store, third.reveal()).await, Ok(()));
    assert_eq!(bench.decide(&store, fourth.reveal()).await, Ok(()));
    let fifth = store.rotate(&first, Rotation::immediate()).await.expect("can be rotated");
    assert_eq!(bench.decide(&store, third.reveal()).await, Err(Denial::KeyExpired));
    assert_eq!(bench.decide(&store, fourth.reveal()).await, Err(Denial::KeyExpired));
    assert_eq!(bench.decide(&store, fifth.reveal()).await, Ok(()));

    let sixth = store.rotate(&first, Rotation::with_grace(grace)).await.expect("can be rotated");
    store.revoke(&first).await.expect("can be revoked");
    assert_eq!(bench.decide(&store, fifth.reveal()).await, Err(Denial::KeyRevoked));
    assert_eq!(bench.decide(&store, sixth.reveal()).await, Err(Denial::KeyRevoked));
}

/// G1: the right id with the wrong tenant is like no id at all.
pub async fn other_tenants_keys_are_not_found<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let acme = TenantId::new("acme").expect("a tenant");
    store.put_tenant(&Tenant::new(acme.clone())).await.expect("a tenant");
    let key = issue(&store, NewKey::named("mine")).await;
    let stolen = KeyRef::from((acme.clone(), key.id()));
    check_kind(store.key(&stolen).await, &StoreErrorKind::NotFound);
    check_kind(store.disable(stolen.clone()).await, &StoreErrorKind::NotFound);
    check_kind(store.revoke(stolen.clone()).await, &StoreErrorKind::NotFound);
    check_kind(
        store.rotate(stolen.clone(), Rotation::immediate()).await,
        &StoreErrorKind::NotFound,
    );
    let rename = KeyUpdate::new().name("stolen").group("none");
    check_kind(store.update(stolen, rename).await, &StoreErrorKind::NotFound);
    let foreign = store.keys(&KeyPage::first(acme, 10)).await.expect("the store answers");
    assert_eq!(foreign, []);
    assert_eq!(store.key(&KeyRef::from(&key)).await.expect("still there"), *key.key());
}

/// What a call names and is not there is told by its field, and nothing is left behind.
pub async fn what_does_not_exist_is_named<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let (tenant, nobody) = (TenantId::default(), owner("nobody"));
    check_problems(store.issue(NewKey::named("x").tenant("none")).await, &["tenant"]);
    check_problems(store.issue(NewKey::named("x").owner("nobody").group("none")).await, &["group"]);
    let plan = Group::new(tenant.clone(), group("plan"), GroupKind::Standard);
    store.put_group(&plan).await.expect("a group");
    check_problems(store.add_member(&tenant, &plan.id, &nobody).await, &["owner"]);
    check_problems(store.add_member(&tenant, &group("none"), &nobody).await, &["group"]);
    let open_ended = Subscription::open_ended();
    let subscribed = store.put_subscription(&tenant, &plan.id, &nobody, open_ended).await;
    check_problems(subscribed, &["owner"]);
    let none = TenantId::new("none").expect("a tenant");
    check_problems(store.put_owner(&Owner::new(none.clone(), nobody.clone())).await, &["tenant"]);
    let plan = Group::new(none, group("plan"), GroupKind::Standard);
    check_problems(store.put_group(&plan).await, &["tenant"]);
    let key = issue(&store, NewKey::named("x")).await;
    check_problems(store.update(&key, KeyUpdate::new().group("none")).await, &["group"]);
    assert_eq!(store.keys(&KeyPage::first(tenant, 10)).await.expect("an answer").len(), 1);
}

/// S4: disabling one of them stops its keys and no others; enabling starts them again.
pub async fn owners_tenants_and_groups_decide<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = TenantId::default();
    let ada = Owner::new(tenant.clone(), owner("ada"));
    let club = Group::new(tenant.clone(), group("club"), GroupKind::Exclusive);
    let plan = Group::new(tenant.clone(), group("plan"), GroupKind::Subscription);
    for group in [&club, &plan] {
        store.put_group(group).await.expect("a group");
    }
    let other = issue(&store, NewKey::named("other")).await;
    let plain = issue(&store, NewKey::named("plain").owner("ada")).await;
    let member = issue(&store, NewKey::named("member").owner("ada").group("club")).await;
    let subscriber = issue(&store, NewKey::named("subscriber").owner("ada").group("plan")).await;
    let decide = async |key: &IssuedKey| bench.decide(&store, key.reveal()).await;

    assert_eq!(decide(&member).await, Err(Denial::GroupDenied));
    store.add_member(&tenant, &club.id, &ada.id).await.expect("a member");
    store.add_member(&tenant, &club.id, &ada.id).await.expect("twice is once");
    assert_eq!(decide(&member).await, Ok(()));
    store.remove_member(&tenant, &club.id, &ada.id).await.expect("no member");
    assert_eq!(decide(&member).await, Err(Denial::GroupDenied));
    store.add_member(&tenant, &club.id, &ada.id).await.expect("a member");

    assert_eq!(decide(&subscriber).await, Err(Denial::SubscriptionRequired));
    let soon = bench.now().saturating_add(Duration::from_secs(1));
    let subscribe = async |subscription| {
        let subscribed = store.put_subscription(&tenant, &plan.id, &ada.id, subscription).await;
        subscribed.expect("a subscription");
    };
    subscribe(Subscription::until(soon)).await;
    assert_eq!(decide(&subscriber).await, Ok(()));
    bench.clock.set_wall(soon);
    assert_eq!(decide(&subscriber).await, Err(Denial::SubscriptionRequired));
    subscribe(Subscription::open_ended()).await;
    assert_eq!(decide(&subscriber).await, Ok(()));

    let inactive = Group { status: Status::Inactive, ..club.clone() };
    store.put_group(&inactive).await.expect("a group");
    assert_eq!(decide(&member).await, Err(Denial::GroupInactive));
    assert_eq!(decide(&subscriber).await, Ok(()));
    store.put_group(&club).await.expect("a group");

    store.put_owner(&Owner { status: Status::Inactive, ..ada.clone() }).await.expect("an owner");
    for key in [&plain, &member, &subscriber] {
        assert_eq!(decide(key).await, Err(Denial::OwnerInactive));
    }
    assert_eq!(decide(&other).await, Ok(()));
    store.put_owner(&ada).await.expect("an owner");

    let inactive = Tenant { status: Status::Inactive, ..Tenant::new(tenant.clone()) };
    store.put_tenant(&inactive).await.expect("a tenant");
    assert_eq!(decide(&other).await, Err(Denial::TenantInactive));
    store.put_tenant(&Tenant::new(tenant)).await.expect("a tenant");
    for key in [&other, &plain, &member, &subscriber] {
        assert_eq!(decide(key).await, Ok(()));
    }
}

/// Custom keys work where keyring and tenant allow them, and belong to one key only.
pub async fn custom_keys_need_permission_and_are_unique<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let custom = "my-own-key_0123456789-0123456789";
    check_problems(store.issue(NewKey::named("own").custom(custom)).await, &["custom_key"]);
    let tenant = Tenant { custom_keys: CustomKeys::Allowed, ..Tenant::new(TenantId::default()) };
    store.put_tenant(&tenant).await.expect("a tenant");
    for bad in ["too-short-key-x", "has.dots.in.it-012345", "sk_live_with-our-prefix-0123"] {
        check_problems(store.issue(NewKey::named("own").custom(bad)).await, &["custom_key"]);
    }
    let key = issue(&store, NewKey::named("own").custom(custom)).await;
    assert_eq!((key.reveal(), key.key().hint.as_str()), (custom, "my-o"));
    assert_eq!(bench.decide(&store, custom).await, Ok(()));
    check_kind(store.issue(NewKey::named("again").custom(custom)).await, &StoreErrorKind::Taken);
    let generated = issue(&store, NewKey::named("generated")).await;
    let taken = store.rotate(&generated, Rotation::immediate().custom(custom)).await;
    check_kind(taken, &StoreErrorKind::Taken);
    assert_eq!(bench.decide(&store, generated.reveal()).await, Ok(()));
    let rotated = store.rotate(&key, Rotation::immediate()).await.expect("can be rotated");
    assert!(rotated.reveal().starts_with("sk_live_"));
    assert_eq!(bench.decide(&store, custom).await, Err(Denial::KeyExpired));
}

/// Keys under an old pepper are found beside those under a new one.
pub async fn old_and_new_peppers_work_side_by_side<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let key = issue(&store, NewKey::named("old pepper")).await;
    let newer = keyring().with_pepper(Pepper::new(2, [2; 32]).expect("a pepper"));
    let keyring = newer.expect("a keyring");
    let newer = Issuer::new().with_keyring(keyring.clone());
    let draft = newer.draft(NewKey::named("new pepper")).expect("a valid key");
    store.insert(&draft.key, &draft.secret).await.expect("a new key");
    let new_key = draft.into_issued();
    let both = Rekeyed { store: store.clone(), keyring };
    let auth = Authenticator::new(both).with_clock(Arc::clone(&bench.clock) as _);
    for key in [&key, &new_key] {
        let decision = auth.verify(key.reveal(), &RequestFacts::new()).await;
        assert!(decision.expect("the store answers").is_ok());
    }
    // The deployment that has not got the new pepper yet knows the new key not at all.
    assert_eq!(bench.decide(&store, new_key.reveal()).await, Err(Denial::InvalidKey));
}

/// Use is remembered without touching the key.
pub async fn last_use_never_goes_back<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let key = issue(&store, NewKey::named("used")).await;
    let used_at = async || store.key(&KeyRef::from(&key)).await.expect("there").last_used_at;
    assert_eq!(used_at().await, None);
    for (second, expected) in [(5, 5), (3, 5), (9, 9)] {
        let at = Timestamp::from_unix_seconds(second);
        store.mark_used(key.id(), at).await.expect("the store answers");
        assert_eq!(used_at().await, Some(Timestamp::from_unix_seconds(expected)));
    }
    let record = bench.record(&store, key.reveal()).await.expect("the key is there");
    assert_eq!(&record.key, key.key());
    let nobody = KeyId::from_bytes([7; 16]);
    store.mark_used(nobody, bench.now()).await.expect("a key that is gone is no error");
}

/// Pages come in the order of issuing and leave nothing out.
pub async fn pages_hold_every_key_once<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let mut issued = Vec::new();
    for number in 0..5 {
        bench.clock.advance(Duration::from_millis(1));
        issued.push(issue(&store, NewKey::named(format!("key {number}"))).await.id());
    }
    let mut page = KeyPage::first(TenantId::default(), 2);
    let mut found = Vec::new();
    loop {
        let keys = store.keys(&page).await.expect("the store answers");
        assert!(keys.len() <= 2);
        let Some(last) = keys.last() else { break };
        page = page.after(last.id);
        found.extend(keys.iter().map(|key| key.id));
    }
    assert_eq!(found, issued);
}

/// Changes of different columns at the same time do not undo each other.
pub async fn changes_at_once_all_count<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let key = issue(&store, NewKey::named("contended")).await;
    for round in 0..10 {
        let name = format!("name {round}");
        let scope = format!("scope:{round}");
        let resource = format!("resource-{round}");
        let (named, scoped, resourced) = tokio::join!(
            store.update(&key, KeyUpdate::new().name(name.as_str())),
            store.update(&key, KeyUpdate::new().scopes([scope.as_str()])),
            store.update(&key, KeyUpdate::new().resources([resource.as_str()])),
        );
        for outcome in [named, scoped, resourced] {
            outcome.expect("a valid update");
        }
        let now = store.key(&KeyRef::from(&key)).await.expect("there");
        assert_eq!(&*now.name, name);
        assert!(now.scopes.contains(&scope) && now.resources.admit(&resource));
    }
}

/// The same custom key issued many times at once exists once.
pub async fn one_of_many_custom_keys_wins<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = Tenant { custom_keys: CustomKeys::Allowed, ..Tenant::new(TenantId::default()) };
    store.put_tenant(&tenant).await.expect("a tenant");
    let new = || NewKey::named("own").owner("racer").custom("the-one-and-only-custom-key");
    let (a, b, c, d) = tokio::join!(
        store.issue(new()),
        store.issue(new()),
        store.issue(new()),
        store.issue(new()),
    );
    let (won, lost): (Vec<_>, Vec<_>) = [a, b, c, d].into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 3));
    for outcome in lost {
        check_kind(outcome, &StoreErrorKind::Taken);
    }
    let keys = store.keys(&KeyPage::first(TenantId::default(), 10)).await.expect("an answer");
    assert_eq!(keys.len(), 1, "a key without a secret was left behind");
}

/// G8, L11: what looks like SQL, JSON or a separator is plain text.
pub async fn odd_texts_stay_texts<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    for (name, id) in [
        ("'; DROP TABLE keys; --", "';DROP"),
        ("{\"a\": 1}", "{}"),
        ("%_\\", ":"),
        ("? $1 ?1", "a:b"),
        ("\u{202e}right to left", "a/../b"),
    ] {
        let key = issue(&store, NewKey::named(name).owner(id).metadata(name, name)).await;
        let record = bench.record(&store, key.reveal()).await.expect("the key is there");
        assert_eq!((&*record.key.name, record.key.owner.as_str()), (name, id));
        assert_eq!(record.key.metadata.get(name), Some(&json!(name)));
    }
    for bad in ["a\0b", "a\r\nb", "\u{1b}[31m", &"x".repeat(1 << 20)] {
        check_problems(store.issue(NewKey::named(bad)).await, &["name"]);
    }
}

/// A store that looks keys up by another keyring than it was opened with.
struct Rekeyed<S> {
    store: S,
    keyring: Keyring,
}

impl<S: KeyLookup> KeyLookup for Rekeyed<S> {
    fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        self.store.find(digest).await
    }
}
