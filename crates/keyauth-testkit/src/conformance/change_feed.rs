//! The cases of [`change_feed_conformance!`](crate::change_feed_conformance).
//!
//! Called by the macro; each takes a store that was just opened.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use keyauth_core::{
    Change, ChangeFeed, ChangeObserver, Continuity, Directory, FeedReader, Group, GroupKind,
    Instance, KeyStore, KeyUpdate, Limit, Metadata, NewKey, Owner, Propagation, Rotation, Status,
    Subject, Subscription, SystemClock, Tenant, TenantId,
};

use super::key_store::Bench;
use super::key_store::bench::{group, issue, owner};

pub(super) fn instance() -> Instance {
    Instance {
        name: "reader".into(),
        max_staleness: Duration::from_secs(5),
        grace: Duration::ZERO,
        clock: Arc::new(SystemClock::new()),
    }
}

/// What a poll tells, the subjects of the raised and the number of new secrets.
pub(super) async fn told(reader: &mut impl FeedReader) -> (Vec<Subject>, usize) {
    let page = reader.poll().await.expect("the store answers");
    assert_eq!(page.continuity, Continuity::Unbroken, "nothing can have been missed");
    reader.acknowledge().await.expect("the store answers");
    summed_up(page.changes)
}

fn summed_up(changes: Vec<Change>) -> (Vec<Subject>, usize) {
    let mut subjects = Vec::new();
    let mut secrets = 0;
    for change in changes {
        match change {
            Change::Raised(subject, _) if !subjects.contains(&subject) => subjects.push(subject),
            Change::Raised(..) => {}
            _ => secrets += 1,
        }
    }
    (subjects, secrets)
}

/// Each change is told with its subject and only that, to every reader (R9); what decides
/// about nothing is not told (R10).
pub async fn changes_are_told_to_every_reader<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + ChangeFeed + Clone + 'static,
{
    let tenant = TenantId::default();
    let plan = Group::new(tenant.clone(), group("plan"), GroupKind::Exclusive);
    store.put_group(&plan).await.expect("a group");
    let ada = Owner::new(tenant.clone(), owner("ada"));
    store.put_owner(&ada).await.expect("an owner");
    store.add_member(&tenant, &plan.id, &ada.id).await.expect("a member");
    let (mut first, mut second) = (store.reader(instance()), store.reader(instance()));
    for reader in [&mut first, &mut second] {
        let page = reader.poll().await.expect("the store answers");
        assert_eq!(page.continuity, Continuity::Broken, "there was nothing to continue");
    }

    let key = issue(&store, NewKey::named("watched").owner("ada").group("plan")).await;
    store.remove_member(&tenant, &plan.id, &ada.id).await.expect("no member");
    let issued = told(&mut first).await;
    assert_eq!(issued.1, 1, "a new secret, so that nobody goes on taking it for unknown");

    let key_changed = vec![Subject::Key(key.id())];
    let owner_changed = vec![Subject::Owner(tenant.clone(), owner("ada"))];
    let group_changed = vec![Subject::Group(tenant.clone(), group("plan"))];
    let tenant_changed = vec![Subject::Tenant(tenant.clone())];
    told(&mut second).await;
    macro_rules! check {
        ($call:expr, $subjects:expr, $secrets:expr) => {
            $call.await.expect(stringify!($call));
            let expected = ($subjects, $secrets);
            assert_eq!(told(&mut first).await, expected, "{}", stringify!($call));
            assert_eq!(told(&mut second).await, expected, "{}", stringify!($call));
        };
    }
    let update = |update: KeyUpdate| store.update(&key, update);
    check!(update(KeyUpdate::new().name("renamed")), vec![], 0);
    check!(update(KeyUpdate::new().scopes(["a"])), key_changed.clone(), 0);
    check!(update(KeyUpdate::new().scopes(["a"])), vec![], 0);
    check!(update(KeyUpdate::new().metadata(Metadata::default())), vec![], 0);
    check!(update(KeyUpdate::new().deny_addresses(["192.0.2.1"])), key_changed.clone(), 0);
    check!(store.disable(&key), key_changed.clone(), 0);
    check!(store.disable(&key), vec![], 0);
    check!(store.enable(&key), key_changed.clone(), 0);
    check!(store.rotate(&key, Rotation::immediate()), key_changed.clone(), 1);

    check!(store.add_member(&tenant, &plan.id, &owner("ada")), owner_changed.clone(), 0);
    check!(store.add_member(&tenant, &plan.id, &owner("ada")), vec![], 0);
    check!(store.remove_member(&tenant, &plan.id, &owner("ada")), owner_changed.clone(), 0);
    let until = Subscription::until(store.issuer().now());
    let ada = owner("ada");
    check!(store.put_subscription(&tenant, &plan.id, &ada, until), owner_changed.clone(), 0);
    check!(store.put_subscription(&tenant, &plan.id, &ada, until), vec![], 0);
    let gone = Owner { status: Status::Inactive, ..Owner::new(tenant.clone(), owner("ada")) };
    check!(store.put_owner(&gone), owner_changed.clone(), 0);
    let closed = Group { status: Status::Inactive, ..plan.clone() };
    check!(store.put_group(&closed), group_changed.clone(), 0);
    let closed = Tenant { status: Status::Inactive, ..Tenant::new(tenant.clone()) };
    check!(store.put_tenant(&closed), tenant_changed.clone(), 0);
    let limits = vec![Limit::per_minute(1)];
    check!(store.put_owner(&Owner { limits: limits.clone(), ..gone }), owner_changed.clone(), 0);
    check!(store.put_group(&Group { limits: limits.clone(), ..plan.clone() }), group_changed, 0);
    check!(store.put_tenant(&Tenant { limits, ..closed }), tenant_changed, 0);
    check!(store.remove_subscription(&tenant, &plan.id, &ada), owner_changed.clone(), 0);
    check!(store.remove_subscription(&tenant, &plan.id, &ada), vec![], 0);
    check!(store.revoke(&key), key_changed.clone(), 0);
    check!(store.revoke(&key), vec![], 0);
    check!(store.delete(&key), key_changed.clone(), 0);

    let propagated = store.propagated(&Subject::Key(key.id()), Duration::from_secs(60)).await;
    assert_eq!(propagated.expect("the store answers"), Propagation::Acknowledged);
    first.leave().await;
    second.leave().await;
}

/// A record that is looked up after a change was told has at least its version, and a record
/// of another subject is not touched.
pub async fn records_carry_the_versions_told<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + ChangeFeed + Clone + 'static,
{
    let tenant = TenantId::default();
    let key = issue(&store, NewKey::named("watched").owner("ada")).await;
    let other = issue(&store, NewKey::named("other").owner("bob")).await;
    let mut reader = store.reader(instance());
    reader.poll().await.expect("the store answers");
    let untouched = bench.record(&store, other.reveal()).await.expect("the key is there");

    let gone = Owner { status: Status::Inactive, ..Owner::new(tenant.clone(), owner("ada")) };
    let back = Owner::new(tenant, owner("ada"));
    let mut last = bench.record(&store, key.reveal()).await.expect("the key is there").versions;
    for round in 0..3 {
        store.disable(&key).await.expect("a change");
        store.put_owner(&gone).await.expect("a change");
        store.enable(&key).await.expect("a change");
        store.put_owner(&back).await.expect("a change");
        let page = reader.poll().await.expect("the store answers");
        let record = bench.record(&store, key.reveal()).await.expect("the key is there");
        let seen: Vec<_> = record.subjects().collect();
        let mut compared = 0;
        for change in page.changes {
            let Change::Raised(subject, version) = change else { panic!("{change:?}") };
            let (_, found) = seen.iter().find(|(seen, _)| *seen == subject).expect("its own");
            assert!(*found >= version, "{subject:?} at {found}, told {version}");
            compared += 1;
        }
        assert!(compared >= 2, "round {round} has told of {compared} changes");
        assert!(record.versions.key > last.key && record.versions.owner > last.owner);
        last = record.versions;
    }
    let again = bench.record(&store, other.reveal()).await.expect("the key is there");
    assert_eq!(untouched, again, "only the keys of a changed subject change");
}

/// Who observes is told before the call that makes a change returns.
pub async fn observers_are_told_at_once<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + ChangeFeed + Clone + 'static,
{
    #[derive(Default)]
    struct Notes(Mutex<Vec<Change>>);
    impl ChangeObserver for Notes {
        fn changed(&self, changes: &[Change]) {
            self.0.lock().expect("no panic").extend_from_slice(changes);
        }
    }
    impl Notes {
        fn take(&self) -> (Vec<Subject>, usize) {
            summed_up(std::mem::take(&mut *self.0.lock().expect("no panic")))
        }
    }
    let notes = Arc::new(Notes::default());
    let observer: Arc<dyn ChangeObserver> = Arc::clone(&notes) as _;
    store.clone().observe(Arc::downgrade(&observer));
    let gone: Weak<dyn ChangeObserver> = Weak::<Notes>::new();
    store.observe(gone);

    let key = issue(&store, NewKey::named("watched")).await;
    assert_eq!(notes.take().1, 1);
    store.update(&key, KeyUpdate::new().name("renamed")).await.expect("a change");
    assert_eq!(notes.take(), (vec![], 0));
    store.disable(&key).await.expect("a change");
    assert_eq!(notes.take(), (vec![Subject::Key(key.id())], 0));
    store.clone().revoke(&key).await.expect("a change");
    assert_eq!(notes.take(), (vec![Subject::Key(key.id())], 0));
    store.enable(&key).await.expect_err("a revoked key stays revoked");
    assert_eq!(notes.take(), (vec![], 0), "nothing has changed");
}
