//! From issued to revoked.

use std::time::Duration;

use keyauth_core::{
    Denial, Directory, KeyRef, KeyStatus, KeyStore, KeyUpdate, NewKey, Rotation, StoreErrorKind,
};

use super::bench::{Bench, check_kind, check_problems, issue};

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
    let newest = store.record(&KeyRef::from(&first)).await.expect("the store answers");
    assert_eq!(newest.as_deref(), bench.record(&store, second.reveal()).await.as_ref());
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
