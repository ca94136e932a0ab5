//! The cases of [`create_once_conformance!`](crate::create_once_conformance).
//!
//! Called by the macro; each takes a store that was just opened.

use keyauth_core::{
    Actor, CreateOnce, Denial, Directory, Group, GroupKind, ImportStore, ImportedSecret, KeyQuery,
    KeyRef, KeyStore, NewKey, RequestName, Rotation, StoreErrorKind, Tenant, TenantId,
};
use tokio::task::JoinSet;

use super::key_store::Bench;
use super::key_store::bench::{check_kind, check_problems, group, issue};

fn actor(name: &str) -> Actor {
    Actor::new(name).expect("an actor")
}

/// What `ada` calls a request for `content`.
fn named<S: KeyStore>(store: &S, name: &str, content: &str) -> RequestName {
    RequestName::new(store.keyring(), (&TenantId::default(), &actor("ada")), name, content)
}

async fn count(store: &impl KeyStore) -> usize {
    let all = KeyQuery::first(TenantId::default(), 100);
    store.keys(&all).await.expect("the store answers").len()
}

/// Keys, secrets and imports: the same request is done once, and another of its name not at all.
pub async fn a_request_is_done_once<S>(bench: Bench, store: S)
where
    S: ImportStore + CreateOnce + Directory + Clone + 'static,
{
    let once = store.once(named(&store, "one", "a key"));
    let key = issue(&once, NewKey::named("ci")).await;
    let repeated = StoreErrorKind::Repeated { key: key.id() };
    check_kind(once.issue(NewKey::named("ci")).await, &repeated);
    let other = store.once(named(&store, "one", "another key"));
    check_kind(other.issue(NewKey::named("other")).await, &StoreErrorKind::RequestNameTaken);
    assert_eq!(count(&store).await, 1);

    let rotating = store.once(named(&store, "two", "a secret"));
    let rotated = rotating.rotate(&key, Rotation::immediate()).await.expect("can be rotated");
    check_kind(rotating.rotate(&key, Rotation::immediate()).await, &repeated);
    assert_eq!(bench.decide(&store, rotated.reveal()).await, Ok(()));
    assert_eq!(bench.decide(&store, key.reveal()).await, Err(Denial::KeyExpired));

    let hash = || "5e75cec0119979cc09dda9d16704632c7b2820102c0ab5cdb6175902dddd5501".parse();
    let secret = || ImportedSecret::new(hash().expect("a hash"));
    let importing = store.once(named(&store, "three", "an import"));
    let imported = importing.import(NewKey::named("old"), secret()).await.expect("a key");
    let repeated = StoreErrorKind::Repeated { key: imported.id };
    check_kind(importing.import(NewKey::named("old"), secret()).await, &repeated);

    // A deleted key stays the answer.
    store.delete(KeyRef::from(&imported)).await.expect("can be deleted");
    check_kind(importing.import(NewKey::named("old"), secret()).await, &repeated);
}

/// Others may call theirs the same, and the same in another tenant is another.
pub async fn names_are_ones_own<S>(_: Bench, store: S)
where
    S: ImportStore + CreateOnce + Directory + Clone + 'static,
{
    let acme = TenantId::new("acme").expect("a tenant");
    store.put_tenant(&Tenant::new(acme.clone())).await.expect("a tenant");
    let default = TenantId::default();
    for (tenant, actor) in
        [(&default, actor("ada")), (&default, actor("bob")), (&acme, actor("ada"))]
    {
        let name = RequestName::new(store.keyring(), (tenant, &actor), "one", "a key");
        let new = NewKey::named("ci").tenant(tenant.as_str());
        store.once(name).issue(new).await.expect("a request of its own");
    }
}

/// What came to nothing was not done.
pub async fn what_was_refused_can_be_asked_for_again<S>(bench: Bench, store: S)
where
    S: ImportStore + CreateOnce + Directory + Clone + 'static,
{
    const CHOSEN: &str = "one-that-ada-has-chosen-herself";
    let custom_keys = keyauth_core::CustomKeys::Allowed;
    let tenant = Tenant { custom_keys, ..Tenant::new(TenantId::default()) };
    store.put_tenant(&tenant).await.expect("a tenant");
    let taken = issue(&store, NewKey::named("first").custom(CHOSEN)).await;
    let once = store.once(named(&store, "one", "a custom key"));
    let new = || NewKey::named("second").custom(CHOSEN);
    check_kind(once.issue(new()).await, &StoreErrorKind::Taken);
    check_kind(once.issue(new()).await, &StoreErrorKind::Taken);
    store.delete(&taken).await.expect("can be deleted");
    let second = once.issue(new()).await.expect("it is free now");
    // Not taken, which would be a guess.
    check_kind(once.issue(new()).await, &StoreErrorKind::Repeated { key: second.id() });
    assert_eq!(bench.decide(&store, CHOSEN).await, Ok(()));

    let once = store.once(named(&store, "two", "a key of the plan"));
    check_problems(once.issue(NewKey::named("ci").group("plan")).await, &["group"]);
    let plan = Group::new(TenantId::default(), group("plan"), GroupKind::Standard);
    store.put_group(&plan).await.expect("a group");
    issue(&once, NewKey::named("ci").group("plan")).await;
}

/// However many ask at once.
pub async fn one_of_many_at_once_is_done<S>(_: Bench, store: S)
where
    S: ImportStore + CreateOnce + Directory + Clone + 'static,
{
    let once = store.once(named(&store, "one", "a key"));
    let mut asked = JoinSet::new();
    for _ in 0..16 {
        let once = once.clone();
        asked.spawn(async move { once.issue(NewKey::named("ci")).await });
    }
    let (done, refused): (Vec<_>, Vec<_>) =
        asked.join_all().await.into_iter().partition(Result::is_ok);
    let done: Vec<_> = done.into_iter().flatten().collect();
    let [only] = done.as_slice() else { panic!("{} were done", done.len()) };
    for refused in refused {
        check_kind(refused, &StoreErrorKind::Repeated { key: only.id() });
    }
    assert_eq!(count(&store).await, 1);
}
