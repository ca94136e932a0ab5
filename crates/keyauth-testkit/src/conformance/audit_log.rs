//! The cases of [`audit_log_conformance!`](crate::audit_log_conformance).
//!
//! Called by the macro; each takes a store that was just opened.

use std::time::Duration;

use keyauth_core::{
    Actor, AuditAction, AuditEntry, AuditLog, AuditQuery, AuditedThing, BoundKeys, CustomKeys,
    Directory, Group, GroupKind, KeyRef, KeyStore, KeyUpdate, Limit, NewKey, Owner, OwnerUpdate,
    Rotation, Status, Subject, Subscription, Tenant, TenantId, TenantUpdate,
};
use serde_json::{Value, json};

use super::key_store::Bench;
use super::key_store::bench::{group, issue, owner};

/// What was done, to what, and of whom, without the rest.
type Noted = (AuditAction, AuditedThing, Subject);

async fn noted(store: &impl AuditLog) -> Vec<AuditEntry> {
    store.audit(&AuditQuery::last_of_all(1_000)).await.expect("the store answers")
}

fn outline(entry: &AuditEntry) -> Noted {
    (entry.action, entry.what, entry.subject.clone())
}

/// One entry for each thing that a call changes, none for what it leaves as it was or is refused.
pub async fn every_change_is_noted_once<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + AuditLog + Clone + 'static,
{
    use AuditAction::{Changed, Created, Deleted};
    use AuditedThing::{Group as OfGroup, Key, Membership, Owner as OfOwner, Secret, Tenant as Of};
    let tenant = TenantId::default();
    let (ada, plan) = (owner("ada"), group("plan"));
    let of_tenant = Subject::Tenant(tenant.clone());
    let of_owner = Subject::Owner(tenant.clone(), ada.clone());
    let of_group = Subject::Group(tenant.clone(), plan.clone());
    let mut seen = noted(&store).await.len();
    macro_rules! check {
        ($call:expr, $expected:expr) => {{
            let outcome = $call.await;
            let entries = noted(&store).await;
            let mut new: Vec<Noted> =
                entries.iter().take(entries.len() - seen).map(outline).collect();
            new.reverse();
            // What is done in one call has no order.
            let mut expected: Vec<Noted> = $expected;
            for list in [&mut new, &mut expected] {
                list.sort_by_key(|noted| format!("{noted:?}"));
            }
            assert_eq!(new, expected, "{}", stringify!($call));
            seen = entries.len();
            outcome
        }};
    }
    let default = Tenant::new(tenant.clone());
    check!(store.put_tenant(&default), vec![]).expect("as it was");
    let max_keys_per_owner = Some(3);
    let capped = Tenant { max_keys_per_owner, ..default.clone() };
    check!(store.put_tenant(&capped), vec![(Changed, Of, of_tenant.clone())]).expect("a tenant");
    let nothing = TenantUpdate::default();
    check!(store.update_tenant(&tenant, &nothing), vec![]).expect("nothing");
    let acme = Tenant::new(TenantId::new("acme").expect("a tenant"));
    let of_acme = Subject::Tenant(acme.id.clone());
    check!(store.put_tenant(&acme), vec![(Created, Of, of_acme)]).expect("a tenant");

    let exclusive = Group::new(tenant.clone(), plan.clone(), GroupKind::Exclusive);
    let created = vec![(Created, OfGroup, of_group.clone())];
    check!(store.put_group(&exclusive), created).expect("a group");
    let limits = vec![Limit::per_minute(1)];
    let limited = Owner { limits: limits.clone(), ..Owner::new(tenant.clone(), ada.clone()) };
    let created = vec![(Created, OfOwner, of_owner.clone())];
    check!(store.put_owner(&limited), created).expect("an owner");
    let listed = vec![(Created, Membership, of_owner.clone())];
    check!(store.add_member(&tenant, &plan, &ada), listed).expect("a member");
    check!(store.add_member(&tenant, &plan, &ada), vec![]).expect("a member already");
    let open_ended = Subscription::open_ended();
    let subscribed = vec![(Created, AuditedThing::Subscription, of_owner.clone())];
    check!(store.put_subscription(&tenant, &plan, &ada, open_ended), subscribed).expect("one");
    let gone = vec![(Deleted, AuditedThing::Subscription, of_owner.clone())];
    check!(store.remove_subscription(&tenant, &plan, &ada), gone).expect("none");

    let new = || NewKey::named("noted").owner("ada").group("plan");
    let key = issue(&store, new()).await;
    let of_key = Subject::Key(key.id());
    let entries = noted(&store).await;
    assert_eq!(entries.len() - seen, 2, "a key and its secret");
    seen = entries.len();
    let changed = vec![(Changed, Key, of_key.clone())];
    check!(store.update(&key, KeyUpdate::new().name("renamed")), changed.clone()).expect("valid");
    check!(store.update(&key, KeyUpdate::new().name("renamed")), vec![]).expect("as it was");
    check!(store.update(&key, KeyUpdate::new().group("none")), vec![]).expect_err("no group");
    check!(store.disable(&key), changed.clone()).expect("disabled");
    check!(store.disable(&key), vec![]).expect("as it was");
    check!(store.enable(&key), changed.clone()).expect("enabled");
    bench.clock.advance(Duration::from_secs(1));
    let secrets = [(Changed, Secret, of_key.clone()), (Created, Secret, of_key.clone())];
    let rotated = [changed.as_slice(), &secrets].concat();
    let grace = Rotation::with_grace(Duration::from_secs(60));
    check!(store.rotate(&key, grace), rotated).expect("rotated");
    check!(store.revoke(&key), changed.clone()).expect("revoked");
    check!(store.revoke(&key), vec![]).expect("as it was");
    let forgotten = vec![(Deleted, Secret, of_key.clone()); 2];
    check!(store.delete(&key), [changed.as_slice(), &forgotten].concat()).expect("deleted");
    check!(store.delete(&key), vec![]).expect_err("gone");

    let bound = issue(&store, new()).await;
    seen += 2;
    check!(store.delete_group(&tenant, &plan, BoundKeys::Refuse), vec![]).expect_err("in use");
    let gone = vec![
        (Changed, Key, Subject::Key(bound.id())),
        (Deleted, Membership, of_owner.clone()),
        (Deleted, OfGroup, of_group),
    ];
    check!(store.delete_group(&tenant, &plan, BoundKeys::Detach), gone).expect("deleted");
    let gone = vec![(Changed, Key, Subject::Key(bound.id())), (Changed, OfOwner, of_owner.clone())];
    check!(store.delete_owner(&tenant, &ada), gone).expect("deleted");
    // What was revoked, or inactive, before it was deleted was there all the same.
    let gone =
        vec![(Changed, Key, Subject::Key(bound.id())), (Deleted, Secret, Subject::Key(bound.id()))];
    check!(store.delete(&bound), gone).expect("deleted");
    let inactive = Owner { status: Status::Inactive, ..Owner::new(tenant.clone(), ada.clone()) };
    check!(store.put_owner(&inactive), vec![(Changed, OfOwner, of_owner.clone())]).expect("back");
    check!(store.delete_owner(&tenant, &ada), vec![(Changed, OfOwner, of_owner)]).expect("gone");
    assert_eq!(noted(&store).await.len(), seen, "reading is not noted");
}

/// What differs is told as it was and as it became, and when, and who asked for it.
pub async fn entries_say_who_changed_what<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + AuditLog + Clone + 'static,
{
    let actor = Actor::new("key:ops").expect("an actor");
    let acting = store.acting_as(actor.clone());
    let key = issue(&acting, NewKey::named("before").scope("a").owner("ada")).await;
    bench.clock.advance(Duration::from_secs(1));
    let update = KeyUpdate::new().name("after").scopes(["a", "b"]);
    acting.update(&key, update).await.expect("valid");
    store.disable(&key).await.expect("disabled");
    let max_keys = keyauth_core::Patch::Set(7);
    let update = OwnerUpdate { max_keys, status: Some(Status::Inactive), ..Default::default() };
    acting.update_owner(&TenantId::default(), &owner("ada"), &update).await.expect("valid");

    let entries = noted(&store).await;
    let [of_owner, disabled, renamed, ..] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(of_owner.actor, Some(actor.clone()));
    let (before, after) = (&of_owner.before, &of_owner.after);
    assert_eq!(
        (before.get("max_keys"), after.get("max_keys")),
        (Some(&Value::Null), Some(&json!(7)))
    );
    assert_eq!(before.len(), 2, "{before:?}");
    assert_eq!(disabled.actor, None, "nobody has said who it was");
    assert_eq!(Value::from(disabled.before.clone()), json!({ "status": "active" }));
    assert_eq!(Value::from(disabled.after.clone()), json!({ "status": "disabled" }));
    assert_eq!(disabled.tenant, Some(TenantId::default()));
    assert_eq!(renamed.actor, Some(actor.clone()));
    assert_eq!(Value::from(renamed.before.clone()), json!({ "name": "before", "scopes": ["a"] }));
    assert_eq!(
        Value::from(renamed.after.clone()),
        json!({ "name": "after", "scopes": ["a", "b"] })
    );
    let plan = Group::new(TenantId::default(), group("plan"), GroupKind::Subscription);
    store.put_group(&plan).await.expect("a group");
    let subscribe = async |subscription| {
        let (tenant, ada) = (TenantId::default(), owner("ada"));
        let subscribed = store.put_subscription(&tenant, &plan.id, &ada, subscription).await;
        subscribed.expect("a subscription");
    };
    subscribe(Subscription::open_ended()).await;
    subscribe(Subscription { status: Status::Inactive, ..Subscription::open_ended() }).await;
    let last = noted(&store).await;
    let cancelled = last.first().expect("it was cancelled");
    let told = format!("{:?} {:?}", cancelled.before, cancelled.after);
    assert!(told.contains("plan"), "which one: {told}");
    let issued = entries.iter().find(|entry| outline(entry).0 == AuditAction::Created);
    let issued = issued.expect("it was issued");
    assert!(issued.before.is_empty() && !issued.after.is_empty(), "{issued:?}");
    assert!(entries.windows(2).all(|pair| pair[0].id > pair[1].id && pair[0].at >= pair[1].at));
}

/// Neither what was presented nor what is stored of it is ever told, whatever was done with it.
pub async fn no_secret_is_noted<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + AuditLog + Clone + 'static,
{
    let custom_keys = Some(CustomKeys::Allowed);
    let update = TenantUpdate { custom_keys, ..Default::default() };
    store.update_tenant(&TenantId::default(), &update).await.expect("valid");
    let (custom, other) = ("my-own-key_0123456789", "another-key_0123456789");
    let key = issue(&store, NewKey::named("noted").custom(custom)).await;
    let rotated = store.rotate(&key, Rotation::immediate()).await.expect("rotated");
    store.rotate(&key, Rotation::immediate().custom(other)).await.expect("rotated");
    store.revoke(&key).await.expect("revoked");
    store.delete(&key).await.expect("deleted");
    let told = format!("{:?}", noted(&store).await);
    for secret in [custom, other, rotated.reveal()] {
        assert!(!told.contains(secret), "{told}");
        // Of a generated one the hint may be told, which is its beginning.
        assert!(!told.contains(&secret[13..]), "{told}");
    }
    // Of no other kind either: a digest has more hexadecimal digits in a row than anything else.
    let mut longest = 0;
    for part in told.split(|character: char| !character.is_ascii_hexdigit()) {
        longest = longest.max(part.len());
    }
    assert!((8..=32).contains(&longest), "{longest}: {told}");
}

/// By tenant and by subject, the latest first, page by page; no tenant's are another's.
pub async fn entries_are_found_by_whom_they_are_of<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + AuditLog + Clone + 'static,
{
    let (own, acme) = (TenantId::default(), TenantId::new("acme").expect("a tenant"));
    store.put_tenant(&Tenant::new(acme.clone())).await.expect("a tenant");
    let key = issue(&store, NewKey::named("one").owner("ada")).await;
    let other = issue(&store, NewKey::named("two").owner("ada")).await;
    let foreign = issue(&store, NewKey::named("three").owner("ada").tenant("acme")).await;
    for round in 0..3 {
        for key in [&key, &other, &foreign] {
            let name = format!("name {round}");
            store.update(KeyRef::from(key), KeyUpdate::new().name(name)).await.expect("valid");
        }
    }
    let all = noted(&store).await;
    for tenant in [&own, &acme] {
        let mut query = AuditQuery::last(tenant.clone(), 2);
        let mut found = Vec::new();
        loop {
            let page = store.audit(&query).await.expect("the store answers");
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            query = query.before(last);
            found.extend(page);
        }
        let expected = all.iter().filter(|entry| entry.tenant.as_ref() == Some(tenant));
        assert!(found.iter().eq(expected), "{found:?}");
    }
    let of = async |tenant: &TenantId, subject| {
        let query = AuditQuery::last(tenant.clone(), 100).of(subject);
        store.audit(&query).await.expect("the store answers")
    };
    let of_key = of(&own, Subject::Key(key.id())).await;
    assert_eq!(of_key.len(), 5, "issued with a secret and renamed three times: {of_key:?}");
    assert!(of_key.iter().all(|entry| entry.subject == Subject::Key(key.id())));
    assert_eq!(of(&acme, Subject::Key(key.id())).await, [], "it is not theirs");
    let ada = |tenant: &TenantId| Subject::Owner(tenant.clone(), owner("ada"));
    assert_eq!(of(&own, ada(&own)).await.len(), 1);
    assert_eq!(of(&acme, ada(&acme)).await.len(), 1);
    let nobodys = AuditQuery::last_of_all(1).of(Subject::Key(key.id()));
    store.audit(&nobodys).await.expect_err("a subject needs its tenant");
    let theirs = AuditQuery::last(own.clone(), 1).of(ada(&acme));
    store.audit(&theirs).await.expect_err("it is another tenant's");
    let all = AuditQuery::last(own, 1).of(Subject::Everything);
    store.audit(&all).await.expect_err("that is no subject");
}
