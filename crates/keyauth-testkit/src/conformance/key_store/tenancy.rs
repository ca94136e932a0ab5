//! Tenants, owners, groups: who belongs to whom.

use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetMode, BudgetWindow, Counted, Denial, Directory, Group, GroupKind,
    IssuedKey, KeyQuery, KeyRef, KeyStore, KeyUpdate, Limit, LimitSubject, NewKey, Owner, Rotation,
    Status, StoreErrorKind, Subscription, Tenant, TenantId, TimeZone,
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
    check_kind(store.record(&stolen).await, &StoreErrorKind::NotFound);
    check_kind(store.disable(stolen.clone()).await, &StoreErrorKind::NotFound);
    check_kind(store.revoke(stolen.clone()).await, &StoreErrorKind::NotFound);
    check_kind(
        store.rotate(stolen.clone(), Rotation::immediate()).await,
        &StoreErrorKind::NotFound,
    );
    let rename = KeyUpdate::new().name("stolen").group("none");
    check_kind(store.update(stolen, rename).await, &StoreErrorKind::NotFound);
    let foreign = store.keys(&KeyQuery::first(acme, 10)).await.expect("the store answers");
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
    assert_eq!(store.keys(&KeyQuery::first(tenant, 10)).await.expect("an answer").len(), 1);
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
    store.add_member(&tenant, &club.id, &ada.id).await.expect("a member");
    let member = issue(&store, NewKey::named("member").owner("ada").group("club")).await;
    store.remove_member(&tenant, &club.id, &ada.id).await.expect("no member");
    let open_ended = Subscription::open_ended();
    store.put_subscription(&tenant, &plan.id, &ada.id, open_ended).await.expect("a subscription");
    let subscriber = issue(&store, NewKey::named("subscriber").owner("ada").group("plan")).await;
    store.remove_subscription(&tenant, &plan.id, &ada.id).await.expect("no subscription");
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

/// Limits of the owner, the group and the tenant are in a key's record beside its own; such as
/// cannot be are refused by their field, and change nothing.
pub async fn limits_of_all_it_belongs_to_apply<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = Tenant::new(TenantId::default());
    let ada = Owner::new(tenant.id.clone(), owner("ada"));
    let plan = Group::new(tenant.id.clone(), group("plan"), GroupKind::Standard);
    store.put_group(&plan).await.expect("a group");
    let berlin = TimeZone::named("Europe/Berlin").expect("a zone");
    let own = [
        Limit::per_day(7).in_zone(berlin).of_cost(),
        Limit::smooth(10, Duration::from_millis(1_500), u64::MAX).named("pace"),
        Limit::at_once(3),
    ];
    let mut new = NewKey::named("limited").owner("ada").group("plan");
    for limit in &own {
        new = new.limit(limit.clone());
    }
    let key = issue(&store, new).await;
    let applied = async || {
        let record = bench.record(&store, key.reveal()).await.expect("the key is there");
        record.limits.iter().map(|applied| (applied.counted, applied.limit.clone())).collect()
    };
    let mut expected: Vec<_> = own.into_iter().map(|limit| (Counted::Key, limit)).collect();
    let before: Vec<_> = applied().await;
    assert_eq!(before, expected);

    let each = Limit::per_minute(100).for_each(LimitSubject::Owner);
    let (team, cap) = (Limit::per_hour(1_000), Limit::per_month(u64::MAX));
    let limits = vec![each.clone(), team.clone()];
    store.put_group(&Group { limits, ..plan.clone() }).await.expect("a group");
    let limits = vec![cap.clone(), Limit::per_minute(5).for_each(LimitSubject::Key)];
    store.put_tenant(&Tenant { limits, ..tenant.clone() }).await.expect("a tenant");
    expected.push((Counted::Key, Limit::per_minute(5).for_each(LimitSubject::Key)));
    let shared = [(Counted::Member, each), (Counted::Group, team), (Counted::Tenant, cap)];
    let default: Vec<_> = applied().await;
    assert_eq!(default, [expected.as_slice(), &shared].concat());
    // The owner's own takes the place of what the group gives each owner.
    let own = Limit::per_minute(500);
    store.put_owner(&Owner { limits: vec![own.clone()], ..ada.clone() }).await.expect("an owner");
    let [_, team, cap] = shared;
    let overridden: Vec<_> = applied().await;
    assert_eq!(overridden, [expected.as_slice(), &[(Counted::Owner, own), team, cap]].concat());

    let wide = vec![Limit::per_minute(1), Limit::per_hour(1).for_each(LimitSubject::Tenant)];
    let refused = store.put_owner(&Owner { limits: wide, ..ada.clone() }).await;
    check_problems(refused, &["limits[1].per"]);
    let twice = vec![Limit::per_minute(1), Limit::per_minute(2), Limit::per_hour(1).named("")];
    let refused = store.put_group(&Group { limits: twice, ..plan }).await;
    check_problems(refused, &["limits[1].name", "limits[2].name"]);
    let never = vec![Limit::smooth(1, Duration::ZERO, 1)];
    let refused = store.put_tenant(&Tenant { limits: never, ..tenant }).await;
    check_problems(refused, &["limits[0].window"]);
    let unchanged: Vec<_> = applied().await;
    assert_eq!(unchanged, overridden);
}

/// So do budgets of all these, and what prices are multiplied by: the owner's own before the
/// group's.
pub async fn budgets_of_all_it_belongs_to_apply<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let units = |units| Amount::from_units(units).expect("an amount");
    let tenant = Tenant::new(TenantId::default());
    let ada = Owner::new(tenant.id.clone(), owner("ada"));
    let plan = Group::new(tenant.id.clone(), group("plan"), GroupKind::Standard);
    store.put_group(&plan).await.expect("a group");
    let berlin = TimeZone::named("Europe/Berlin").expect("a zone");
    let own = Budget::new(units(5), BudgetWindow::Hours(5)).in_zone(berlin);
    let new = NewKey::named("budgeted").owner("ada").group("plan").budget(own.clone());
    let key = issue(&store, new).await;
    let applied = async || {
        let record = bench.record(&store, key.reveal()).await.expect("the key is there");
        let budgets = record.budgets.iter();
        let budgets = budgets.map(|applied| (applied.counted, applied.budget.clone())).collect();
        (budgets, record.rate_multiplier.to_string())
    };
    let of_key = (Counted::Key, own);
    assert_eq!(applied().await, (vec![of_key.clone()], "1".to_owned()));

    let each = Budget::new(units(10), BudgetWindow::Day).for_each(LimitSubject::Owner);
    let team = Budget::new(units(100), BudgetWindow::Total).in_mode(BudgetMode::Leased);
    let cap = Budget::new(units(1), BudgetWindow::Month).in_mode(BudgetMode::Soft).unlimited();
    let rate_multiplier = "1.5".parse().expect("a multiplier");
    let budgets = vec![each.clone(), team.clone()];
    let priced = Group { budgets, rate_multiplier, ..plan.clone() };
    store.put_group(&priced).await.expect("a group");
    let budgets = vec![cap.clone()];
    store.put_tenant(&Tenant { budgets, ..tenant.clone() }).await.expect("a tenant");
    let shared = [(Counted::Group, team), (Counted::Tenant, cap)];
    let default = [&[of_key.clone(), (Counted::Member, each)], shared.as_slice()].concat();
    assert_eq!(applied().await, (default, "1.5".to_owned()));
    // The owner's own takes the place of what the group gives each owner, and of its prices.
    let own = Budget::new(units(50), BudgetWindow::Day);
    let rate_multiplier = Some("0.8001".parse().expect("a multiplier"));
    let rich = Owner { budgets: vec![own.clone()], rate_multiplier, ..ada.clone() };
    store.put_owner(&rich).await.expect("an owner");
    let overridden = [&[of_key, (Counted::Owner, own)], shared.as_slice()].concat();
    let overridden = (overridden, "0.8001".to_owned());
    assert_eq!(applied().await, overridden);

    let day = |limit| Budget::new(units(limit), BudgetWindow::Day);
    let bad = vec![day(-1), day(1).named("wide").for_each(LimitSubject::Tenant)];
    let refused = store.put_owner(&Owner { budgets: bad, ..ada }).await;
    check_problems(refused, &["budgets[0].limit", "budgets[1].per"]);
    let refused = store.put_group(&Group { budgets: vec![day(1), day(2)], ..plan }).await;
    check_problems(refused, &["budgets[1].name"]);
    let never = vec![Budget::new(units(1), BudgetWindow::Hours(0))];
    let refused = store.put_tenant(&Tenant { budgets: never, ..tenant.clone() }).await;
    check_problems(refused, &["budgets[0].window"]);
    let zone = TimeZone::named("cet").expect("a zone");
    let unclear = vec![Budget::new(units(1), BudgetWindow::Day).in_zone(zone)];
    let refused = store.put_tenant(&Tenant { budgets: unclear, ..tenant }).await;
    check_problems(refused, &["budgets[0].zone"]);
    assert_eq!(applied().await, overridden);
}
