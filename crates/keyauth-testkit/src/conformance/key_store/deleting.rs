//! What is gone.

use std::time::Duration;

use keyauth_core::{
    BoundKeys, CustomKeys, Denial, Directory, Group, GroupKind, KeyQuery, KeyRef, KeyStatus,
    KeyStore, KeyUpdate, Limit, NewKey, Owner, OwnerUpdate, Page, Rotation, Status, StoreErrorKind,
    Subscription, Tenant, TenantId,
};

use super::bench::{Bench, check_kind, group, issue, owner};

/// A deleted key is unknown, and nothing can be done with it; its custom secret can be chosen
/// anew, and is another key then.
pub async fn deleted_keys_are_gone_and_free_their_secret<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = Tenant {
        custom_keys: CustomKeys::Allowed,
        max_keys_per_owner: Some(2),
        ..Tenant::new(TenantId::default())
    };
    store.put_tenant(&tenant).await.expect("a tenant");
    let custom = "my-own-key_0123456789";
    let own = || NewKey::named("own").owner("ada").custom(custom);
    let key = issue(&store, own()).await;
    let rotated = store.rotate(&key, Rotation::with_grace(Duration::from_secs(60))).await;
    let rotated = rotated.expect("can be rotated");
    let acme = TenantId::new("acme").expect("a tenant");
    store.put_tenant(&Tenant::new(acme.clone())).await.expect("a tenant");
    check_kind(store.delete((acme, key.id())).await, &StoreErrorKind::NotFound);
    assert_eq!(bench.decide(&store, custom).await, Ok(()));
    assert!(bench.record(&store, rotated.reveal()).await.is_some());

    store.delete(&key).await.expect("can be deleted");
    for secret in [custom, rotated.reveal()] {
        assert_eq!(bench.decide(&store, secret).await, Err(Denial::InvalidKey));
    }
    check_kind(store.key(&KeyRef::from(&key)).await, &StoreErrorKind::NotFound);
    check_kind(store.delete(&key).await, &StoreErrorKind::NotFound);
    check_kind(store.enable(&key).await, &StoreErrorKind::NotFound);
    check_kind(store.revoke(&key).await, &StoreErrorKind::NotFound);
    check_kind(store.update(&key, KeyUpdate::new().name("x")).await, &StoreErrorKind::NotFound);
    check_kind(store.rotate(&key, Rotation::immediate()).await, &StoreErrorKind::NotFound);
    let listed = store.keys(&KeyQuery::first(TenantId::default(), 9)).await.expect("an answer");
    assert_eq!(listed, []);

    let again = issue(&store, own()).await;
    assert_ne!(again.id(), key.id());
    let record = bench.record(&store, custom).await.expect("it is somebody's again");
    assert_eq!(record.key.id, again.id());
    // It does not count, and a revoked one can be deleted too.
    let second = issue(&store, NewKey::named("second").owner("ada")).await;
    store.revoke(&second).await.expect("revoked");
    store.delete(&second).await.expect("can be deleted");
    assert_eq!(bench.decide(&store, second.reveal()).await, Err(Denial::InvalidKey));
    issue(&store, NewKey::named("third").owner("ada")).await;
    let fourth = store.issue(NewKey::named("fourth").owner("ada")).await;
    check_kind(fourth, &StoreErrorKind::TooManyKeys { most: 2 });
}

/// With its keys revoked for good, even where somebody is called so again.
pub async fn deleted_owners_keys_are_revoked<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let (tenant, ada) = (TenantId::default(), owner("ada"));
    let club = Group::new(tenant.clone(), group("club"), GroupKind::Exclusive);
    store.put_group(&club).await.expect("a group");
    let max_keys = Some(5);
    let limits = vec![Limit::per_minute(7)];
    let rich = Owner { max_keys, limits, ..Owner::new(tenant.clone(), ada.clone()) };
    store.put_owner(&rich).await.expect("an owner");
    store.add_member(&tenant, &club.id, &ada).await.expect("a member");
    let open_ended = Subscription::open_ended();
    store.put_subscription(&tenant, &club.id, &ada, open_ended).await.expect("a subscription");
    let new = || NewKey::named("hers").owner("ada");
    let (first, second) = (issue(&store, new()).await, issue(&store, new().group("club")).await);
    store.disable(&second).await.expect("disabled");
    let third = issue(&store, new()).await;
    let revoked = store.revoke(&third).await.expect("revoked");
    let other = issue(&store, NewKey::named("his").owner("bob")).await;
    bench.clock.advance(Duration::from_secs(1));

    let acme = TenantId::new("acme").expect("a tenant");
    check_kind(store.delete_owner(&acme, &ada).await, &StoreErrorKind::NotFound);
    assert_eq!(bench.decide(&store, first.reveal()).await, Ok(()));
    assert_eq!(store.delete_owner(&tenant, &ada).await.expect("can be deleted"), 2);
    let check_revoked = async || {
        for key in [&first, &second, &third] {
            assert_eq!(bench.decide(&store, key.reveal()).await, Err(Denial::KeyRevoked));
            check_kind(store.enable(key).await, &StoreErrorKind::Revoked);
        }
        let before = store.key(&KeyRef::from(&third)).await.expect("still there");
        assert_eq!(before, revoked, "it was revoked before");
        let now = store.key(&KeyRef::from(&second)).await.expect("still there");
        assert_eq!((now.status, now.revoked_at), (KeyStatus::Revoked, Some(bench.now())));
    };
    check_revoked().await;
    assert_eq!(bench.decide(&store, other.reveal()).await, Ok(()));
    check_kind(store.owner(&tenant, &ada).await, &StoreErrorKind::NotFound);
    check_kind(store.delete_owner(&tenant, &ada).await, &StoreErrorKind::NotFound);
    let nothing = OwnerUpdate { status: Some(Status::Active), ..Default::default() };
    check_kind(store.update_owner(&tenant, &ada, &nothing).await, &StoreErrorKind::NotFound);
    let owners = store.owners(&tenant, &Page::first(9)).await.expect("an answer");
    assert!(owners.iter().all(|owner| owner.id != ada), "{owners:?}");
    assert_eq!(store.members(&tenant, &club.id, &Page::first(9)).await.expect("an answer"), []);
    let subscribed = store.subscriptions(&tenant, &club.id, &Page::first(9)).await;
    assert_eq!(subscribed.expect("an answer"), []);

    // Who is called so next has nothing of hers.
    let fresh = issue(&store, new()).await;
    assert_eq!(bench.decide(&store, fresh.reveal()).await, Ok(()));
    let anew = store.owner(&tenant, &ada).await.expect("there again");
    assert_eq!(anew, Owner::new(tenant.clone(), ada.clone()));
    check_revoked().await;
    assert_eq!(store.delete_owner(&tenant, &ada).await.expect("can be deleted"), 1);
    store.put_owner(&rich).await.expect("an owner");
    assert_eq!(store.owner(&tenant, &ada).await.expect("there again"), rich);
    assert_eq!(bench.decide(&store, fresh.reveal()).await, Err(Denial::KeyRevoked));
    check_revoked().await;
}

/// A group stays where living keys are bound to it, unless they are to go on without it.
pub async fn deleted_groups_are_in_use_or_let_go<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = TenantId::default();
    let plan = Group {
        limits: vec![Limit::per_minute(7)],
        ..Group::new(tenant.clone(), group("plan"), GroupKind::Exclusive)
    };
    store.put_group(&plan).await.expect("a group");
    store.put_owner(&Owner::new(tenant.clone(), owner("ada"))).await.expect("an owner");
    store.add_member(&tenant, &plan.id, &owner("ada")).await.expect("a member");
    let bound = || NewKey::named("bound").owner("ada").group("plan");
    let (active, disabled) = (issue(&store, bound()).await, issue(&store, bound()).await);
    store.disable(&disabled).await.expect("disabled");
    let revoked = issue(&store, bound()).await;
    store.revoke(&revoked).await.expect("revoked");
    let deleted = issue(&store, bound()).await;
    store.delete(&deleted).await.expect("deleted");

    let delete = async |bound| store.delete_group(&tenant, &plan.id, bound).await;
    check_kind(delete(BoundKeys::Refuse).await, &StoreErrorKind::InUse { keys: 2 });
    assert_eq!(store.group(&tenant, &plan.id).await.expect("still there"), plan);
    let record = bench.record(&store, active.reveal()).await.expect("the key");
    assert_eq!((record.key.group, record.limits.len()), (Some(plan.id.clone()), 1));
    assert_eq!(delete(BoundKeys::Detach).await.expect("can be deleted"), 2);
    check_kind(delete(BoundKeys::Detach).await, &StoreErrorKind::NotFound);
    let record = bench.record(&store, active.reveal()).await.expect("the key");
    assert_eq!((record.key.group, record.limits.len()), (None, 0));
    assert_eq!(bench.decide(&store, active.reveal()).await, Ok(()));
    assert_eq!(bench.decide(&store, disabled.reveal()).await, Err(Denial::KeyDisabled));
    assert_eq!(bench.decide(&store, revoked.reveal()).await, Err(Denial::KeyRevoked));

    // Only those that are revoked: it goes. One of that name has nobody on its list.
    store.put_group(&plan).await.expect("a group");
    assert_eq!(store.members(&tenant, &plan.id, &Page::first(9)).await.expect("an answer"), []);
    store.add_member(&tenant, &plan.id, &owner("ada")).await.expect("a member");
    let bound = issue(&store, bound()).await;
    store.revoke(&bound).await.expect("revoked");
    assert_eq!(delete(BoundKeys::Refuse).await.expect("can be deleted"), 0);
    assert_eq!(bench.decide(&store, bound.reveal()).await, Err(Denial::KeyRevoked));
}

/// Whoever is issued a key while its owner is deleted has one that is revoked, or an owner that is
/// there: no key waits for somebody to be called so again.
pub async fn no_key_outlives_its_owner<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = TenantId::default();
    for round in 0..20 {
        let name = format!("owner-{}", round % 3);
        let issue = || {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(async move { store.issue(NewKey::named("raced").owner(name)).await })
        };
        let delete = || {
            let (store, tenant, owner) = (store.clone(), tenant.clone(), owner(&name));
            tokio::spawn(async move { store.delete_owner(&tenant, &owner).await })
        };
        let (first, gone, second, again) = tokio::join!(issue(), delete(), issue(), delete());
        for issued in [first, second] {
            issued.expect("no panic").expect("a valid key");
        }
        for gone in [gone, again] {
            if let Err(error) = gone.expect("no panic") {
                assert_eq!(*error.kind(), StoreErrorKind::NotFound, "{error:?}");
            }
        }
        let there = store.owner(&tenant, &owner(&name)).await.is_ok();
        let of_owner =
            KeyQuery { owner: Some(owner(&name)), ..KeyQuery::first(tenant.clone(), 99) };
        let keys = store.keys(&of_owner).await.expect("an answer");
        let living = keys.iter().filter(|key| key.status != KeyStatus::Revoked).count();
        assert!(there || living == 0, "{living} keys of an owner that is gone, in round {round}");
    }
}
