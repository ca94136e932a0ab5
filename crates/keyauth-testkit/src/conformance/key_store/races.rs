//! Many at once.

use keyauth_core::{
    CustomKeys, Directory, KeyQuery, KeyRef, KeyStore, KeyUpdate, NewKey, StoreErrorKind, Tenant,
    TenantId,
};

use super::bench::{Bench, check_kind, issue};

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
    let keys = store.keys(&KeyQuery::first(TenantId::default(), 10)).await.expect("an answer");
    assert_eq!(keys.len(), 1, "a key without a secret was left behind");
}
