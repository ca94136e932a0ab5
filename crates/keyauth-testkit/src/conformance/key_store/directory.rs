//! Reading and changing tenants, owners and groups.

use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetWindow, CustomKeys, Directory, Group, GroupId, GroupKind, GroupUpdate,
    KeyRef, KeyStore, KeyUpdate, Limit, NewKey, Owner, OwnerUpdate, Page, Patch, Status,
    StoreErrorKind, Subscription, Tenant, TenantId, TenantUpdate,
};

use super::bench::{Bench, check_kind, check_problems, group, issue, owner};

fn terms() -> (Vec<Limit>, Vec<Budget>) {
    let amount = Amount::from_units(5).expect("an amount");
    (vec![Limit::per_day(7)], vec![Budget::new(amount, BudgetWindow::Month)])
}

/// Tenants, owners, groups, lists and subscriptions, one by one and in pages; those of another
/// tenant are like none (G1, G2).
pub async fn what_is_kept_is_read_back<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let (limits, budgets) = terms();
    let acme = TenantId::new("acme").expect("a tenant");
    let tenant = Tenant {
        custom_keys: CustomKeys::Allowed,
        max_keys_per_owner: Some(u32::MAX),
        limits: limits.clone(),
        budgets: budgets.clone(),
        ..Tenant::new(acme.clone())
    };
    store.put_tenant(&tenant).await.expect("a tenant");
    assert_eq!(store.tenant(&acme).await.expect("there"), tenant);
    let none = TenantId::new("none").expect("a tenant");
    check_kind(store.tenant(&none).await, &StoreErrorKind::NotFound);
    let first = store.tenants(&Page::first(1)).await.expect("the store answers");
    assert_eq!(first, std::slice::from_ref(&tenant));
    let rest = store.tenants(&Page::first(9).after(acme.clone())).await.expect("an answer");
    assert_eq!(rest, [Tenant::new(TenantId::default())]);

    let ada = Owner {
        status: Status::Inactive,
        max_keys: Some(0),
        limits: limits.clone(),
        budgets: budgets.clone(),
        rate_multiplier: Some("0.5".parse().expect("a multiplier")),
        ..Owner::new(acme.clone(), owner("ada"))
    };
    let bob = Owner::new(acme.clone(), owner("bob"));
    for owner in [&bob, &ada] {
        store.put_owner(owner).await.expect("an owner");
    }
    assert_eq!(store.owner(&acme, &ada.id).await.expect("there"), ada);
    check_kind(store.owner(&acme, &owner("eve")).await, &StoreErrorKind::NotFound);
    check_kind(store.owner(&TenantId::default(), &ada.id).await, &StoreErrorKind::NotFound);
    assert_eq!(
        store.owners(&acme, &Page::first(1)).await.expect("an answer"),
        std::slice::from_ref(&ada)
    );
    let rest = store.owners(&acme, &Page::first(9).after(ada.id.clone())).await;
    assert_eq!(rest.expect("an answer"), std::slice::from_ref(&bob));
    assert_eq!(store.owners(&none, &Page::first(9)).await.expect("an answer"), []);

    let club = Group {
        limits,
        budgets,
        rate_multiplier: "2.25".parse().expect("a multiplier"),
        ..Group::new(acme.clone(), group("club"), GroupKind::Exclusive)
    };
    let plan = Group::new(acme.clone(), group("plan"), GroupKind::Subscription);
    for group in [&plan, &club] {
        store.put_group(group).await.expect("a group");
    }
    assert_eq!(store.group(&acme, &club.id).await.expect("there"), club);
    check_kind(store.group(&acme, &group("none")).await, &StoreErrorKind::NotFound);
    check_kind(store.group(&TenantId::default(), &club.id).await, &StoreErrorKind::NotFound);
    let groups = store.groups(&acme, &Page::first(9)).await.expect("an answer");
    assert_eq!(groups, [club.clone(), plan.clone()]);
    let rest = store.groups(&acme, &Page::first(9).after(club.id.clone())).await;
    assert_eq!(rest.expect("an answer"), std::slice::from_ref(&plan));

    let end = bench.now().saturating_add(Duration::from_secs(1));
    for owner in [&bob, &ada] {
        store.add_member(&acme, &club.id, &owner.id).await.expect("a member");
        let until = Subscription::until(end);
        store.put_subscription(&acme, &plan.id, &owner.id, until).await.expect("a subscription");
    }
    let page = Page::first(1).after(ada.id.clone());
    let both = store.members(&acme, &club.id, &Page::first(9)).await.expect("an answer");
    assert_eq!(both, [ada.id.clone(), bob.id.clone()]);
    let rest = store.members(&acme, &club.id, &page).await.expect("an answer");
    assert_eq!(rest, std::slice::from_ref(&bob.id));
    assert_eq!(store.members(&acme, &plan.id, &page).await.expect("an answer"), []);
    let subscribed = store.subscriptions(&acme, &plan.id, &page).await.expect("an answer");
    assert_eq!(subscribed, [(bob.id.clone(), Subscription::until(end))]);
    let nowhere = group("none");
    check_kind(store.members(&acme, &nowhere, &page).await, &StoreErrorKind::NotFound);
    check_kind(store.subscriptions(&acme, &nowhere, &page).await, &StoreErrorKind::NotFound);
    store.remove_subscription(&acme, &plan.id, &bob.id).await.expect("gone");
    assert_eq!(store.subscriptions(&acme, &plan.id, &page).await.expect("an answer"), []);
}

/// What an update does not name stays, what it gives as empty goes, and what cannot be is
/// refused by its field.
pub async fn updates_of_the_directory_change_what_they_name<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let (limits, budgets) = terms();
    let id = TenantId::default();
    let mut tenant = Tenant {
        max_keys_per_owner: Some(3),
        limits: limits.clone(),
        budgets: budgets.clone(),
        ..Tenant::new(id.clone())
    };
    store.put_tenant(&tenant).await.expect("a tenant");
    let update = TenantUpdate { custom_keys: Some(CustomKeys::Allowed), ..Default::default() };
    tenant.custom_keys = CustomKeys::Allowed;
    assert_eq!(store.update_tenant(&id, &update).await.expect("a valid update"), tenant);
    let update = TenantUpdate {
        status: Some(Status::Inactive),
        max_keys_per_owner: Patch::Clear,
        limits: Some(Vec::new()),
        ..Default::default()
    };
    tenant =
        Tenant { status: Status::Inactive, max_keys_per_owner: None, limits: Vec::new(), ..tenant };
    assert_eq!(store.update_tenant(&id, &update).await.expect("a valid update"), tenant);
    assert_eq!(store.tenant(&id).await.expect("there"), tenant);
    let never = Some(vec![Limit::smooth(1, Duration::ZERO, 1)]);
    let update = TenantUpdate { limits: never.clone(), ..Default::default() };
    check_problems(store.update_tenant(&id, &update).await, &["limits[0].window"]);
    let none = TenantId::new("none").expect("a tenant");
    let nothing = TenantUpdate::default();
    check_kind(store.update_tenant(&none, &nothing).await, &StoreErrorKind::NotFound);

    let mut ada = Owner { limits: limits.clone(), ..Owner::new(id.clone(), owner("ada")) };
    store.put_owner(&ada).await.expect("an owner");
    let half = "0.5".parse().expect("a multiplier");
    let update = OwnerUpdate {
        max_keys: Patch::Set(9),
        rate_multiplier: Patch::Set(half),
        ..Default::default()
    };
    ada = Owner { max_keys: Some(9), rate_multiplier: Some(half), ..ada };
    assert_eq!(store.update_owner(&id, &ada.id, &update).await.expect("a valid update"), ada);
    let update = OwnerUpdate { rate_multiplier: Patch::Clear, ..Default::default() };
    ada.rate_multiplier = None;
    assert_eq!(store.update_owner(&id, &ada.id, &update).await.expect("a valid update"), ada);
    assert_eq!(store.owner(&id, &ada.id).await.expect("there"), ada);
    let update = OwnerUpdate { limits: never.clone(), ..Default::default() };
    check_problems(store.update_owner(&id, &ada.id, &update).await, &["limits[0].window"]);
    let nothing = OwnerUpdate::default();
    check_kind(store.update_owner(&none, &ada.id, &nothing).await, &StoreErrorKind::NotFound);

    let mut plan = Group { budgets, ..Group::new(id.clone(), group("plan"), GroupKind::Standard) };
    store.put_group(&plan).await.expect("a group");
    let update = GroupUpdate { kind: Some(GroupKind::Exclusive), ..Default::default() };
    plan.kind = GroupKind::Exclusive;
    assert_eq!(store.update_group(&id, &plan.id, &update).await.expect("a valid update"), plan);
    let update = GroupUpdate { budgets: Some(Vec::new()), ..Default::default() };
    plan.budgets = Vec::new();
    assert_eq!(store.update_group(&id, &plan.id, &update).await.expect("a valid update"), plan);
    assert_eq!(store.group(&id, &plan.id).await.expect("there"), plan);
    let update = GroupUpdate { limits: never, ..Default::default() };
    check_problems(store.update_group(&id, &plan.id, &update).await, &["limits[0].window"]);
    let nothing = GroupUpdate::default();
    check_kind(store.update_group(&id, &group("no"), &nothing).await, &StoreErrorKind::NotFound);
}

/// To a standard group anybody's, to an exclusive one those of its list, to one by subscription
/// those of whoever has an active one; and owners are told which these are.
pub async fn keys_are_bound_to_groups_that_are_open_to_their_owner<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let (tenant, ada) = (TenantId::default(), owner("ada"));
    for (id, kind) in [
        ("club", GroupKind::Exclusive),
        ("plan", GroupKind::Subscription),
        ("team", GroupKind::Standard),
    ] {
        let new = Group::new(tenant.clone(), group(id), kind);
        store.put_group(&new).await.expect("a group");
    }
    let closed = Group {
        status: Status::Inactive,
        ..Group::new(tenant.clone(), group("closed"), GroupKind::Standard)
    };
    store.put_group(&closed).await.expect("a group");
    let open = async || -> Vec<GroupId> {
        let groups = store.groups_open_to(&tenant, &ada, &Page::first(9)).await;
        groups.expect("the owner is there").into_iter().map(|group| group.id).collect()
    };
    check_kind(
        store.groups_open_to(&tenant, &ada, &Page::first(9)).await,
        &StoreErrorKind::NotFound,
    );
    let key = issue(&store, NewKey::named("bound").owner("ada").group("team")).await;
    // Whoever sets up a group may bind keys to it before it is opened.
    issue(&store, NewKey::named("early").owner("ada").group("closed")).await;
    let bind = async |to: &str| {
        let new = NewKey::named("new").owner("ada").group(to);
        let issued = store.issue(new).await.map(drop);
        let updated = store.update(&key, KeyUpdate::new().group(to)).await.map(drop);
        assert_eq!(issued.is_ok(), updated.is_ok(), "{to}");
        updated
    };
    assert_eq!(open().await, [group("team")]);
    check_problems(bind("club").await, &["group"]);
    check_problems(bind("plan").await, &["group"]);
    let there = store.key(&KeyRef::from(&key)).await.expect("the key");
    assert_eq!(there.group, Some(group("team")), "nothing was changed");

    store.add_member(&tenant, &group("club"), &ada).await.expect("a member");
    bind("club").await.expect("a member may");
    let soon = bench.now().saturating_add(Duration::from_secs(1));
    let subscribe = async |subscription| {
        let subscribed = store.put_subscription(&tenant, &group("plan"), &ada, subscription).await;
        subscribed.expect("a subscription");
    };
    subscribe(Subscription::until(soon)).await;
    bind("plan").await.expect("a subscriber may");
    assert_eq!(open().await, [group("club"), group("plan"), group("team")]);
    let second = store.groups_open_to(&tenant, &ada, &Page::first(1).after(group("club"))).await;
    assert_eq!(second.expect("an answer")[0].id, group("plan"));
    bench.clock.set_wall(soon);
    check_problems(bind("plan").await, &["group"]);
    subscribe(Subscription { status: Status::Inactive, ..Subscription::open_ended() }).await;
    check_problems(bind("plan").await, &["group"]);
    assert_eq!(open().await, [group("club"), group("team")]);
    subscribe(Subscription::open_ended()).await;
    bind("plan").await.expect("a subscriber may");
    // Other fields of a key whose owner may no longer use its group can be changed.
    store.remove_subscription(&tenant, &group("plan"), &ada).await.expect("gone");
    store.update(&key, KeyUpdate::new().name("renamed")).await.expect("not about the group");
}
