//! Tenants, owners, groups: who belongs to whom.

use std::time::Duration;

use keyauth_core::{
    Denial, Directory, Group, GroupKind, IssuedKey, KeyPage, KeyRef, KeyStore, KeyUpdate, NewKey,
    Owner, Rotation, Status, StoreErrorKind, Subscription, Tenant, TenantId,
};

use super::bench::{Bench, check_kind, check_problems, group, issue, owner};

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
