//! What is written is read back, and nothing else is touched.

use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetWindow, Denial, Directory, Group, GroupKind, Issuer, Key, KeyRecord,
    KeyRef, KeyStore, KeyUpdate, Limit, Metadata, NewKey, Status, Tenant, TenantId,
};
use serde_json::{Map, json};

use super::bench::{Bench, check_problems, group, issue, keyring};

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
        (KeyUpdate::new().limits([]), |key, _| key.limits = Box::default()),
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
