//! What owners may.

use std::time::Duration;

use keyauth_core::{
    CustomKeyGuesses, CustomKeys, Directory, KeyRef, KeyStore, KeyUpdate, NewKey, Owner, Rotation,
    StoreErrorKind, Tenant, TenantId,
};

use super::bench::{Bench, check_kind, issue, owner};

/// Twenty times an hour an owner is told that a custom key is in use; then it has to wait, and nothing
/// it does changes that (G6).
pub async fn guessing_custom_keys_is_slow<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    const MINUTE: Duration = Duration::from_secs(60);
    let tenant = Tenant { custom_keys: CustomKeys::Allowed, ..Tenant::new(TenantId::default()) };
    store.put_tenant(&tenant).await.expect("a tenant");
    let taken = "my-own-key_0123456789-0123456789";
    issue(&store, NewKey::named("first").owner("ada").custom(taken)).await;
    let own = issue(&store, NewKey::named("own").owner("bob")).await;
    let again = || NewKey::named("guess").owner("bob").custom(taken);
    let free = |number: usize| {
        let text = format!("another-key-of-my-own-{number:04}");
        NewKey::named("free").owner("bob").custom(text.as_str())
    };
    for guess in 0..CustomKeyGuesses::MOST {
        let told = match guess % 4 {
            0 => store.rotate(&own, Rotation::immediate().custom(taken)).await.map(drop),
            _ => store.issue(again()).await.map(drop),
        };
        check_kind(told, &StoreErrorKind::Taken);
        if guess == 9 {
            // What is free costs nothing, and resets nothing.
            issue(&store, free(0)).await;
        }
        bench.clock.advance(MINUTE);
    }
    // The first was twenty minutes ago.
    let wait = StoreErrorKind::TooManyGuesses { retry_after: 40 * MINUTE };
    check_kind(store.issue(again()).await, &wait);
    check_kind(store.issue(free(1)).await, &wait);
    check_kind(store.rotate(&own, Rotation::immediate().custom(taken)).await, &wait);
    store.disable(&own).await.expect("disabled");
    store.enable(&own).await.expect("enabled");
    store.update(&own, KeyUpdate::new().name("renamed")).await.expect("a valid update");
    store.put_owner(&Owner::new(TenantId::default(), owner("bob"))).await.expect("an owner");
    store.rotate(&own, Rotation::immediate()).await.expect("a generated one");
    check_kind(store.issue(free(2)).await, &wait);
    issue(&store, NewKey::named("generated").owner("bob")).await;
    issue(&store, NewKey::named("of another").owner("eve").custom("eves-own-key-0123456789")).await;
    let there = store.key(&KeyRef::from(&own)).await.expect("the key");
    assert_eq!(there.hint.as_str().get(..7), Some("sk_live"), "no guess has changed it");

    // Each counts for an hour.
    bench.clock.advance(40 * MINUTE);
    check_kind(store.issue(again()).await, &StoreErrorKind::Taken);
    let wait = StoreErrorKind::TooManyGuesses { retry_after: MINUTE };
    check_kind(store.issue(free(3)).await, &wait);
    bench.clock.advance(60 * MINUTE);
    issue(&store, free(4)).await;
}

/// An owner has no more keys than it may, however many are issued at once; revoked ones do not count.
pub async fn owners_have_as_many_keys_as_they_may<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = Tenant { max_keys_per_owner: Some(3), ..Tenant::new(TenantId::default()) };
    store.put_tenant(&tenant).await.expect("a tenant");
    let new = || NewKey::named("one").owner("ada");
    let first = issue(&store, new()).await;
    store.disable(&first).await.expect("disabled");
    for _ in 0..2 {
        issue(&store, new()).await;
    }
    let three = StoreErrorKind::TooManyKeys { most: 3 };
    check_kind(store.issue(new()).await, &three);
    issue(&store, NewKey::named("of another").owner("bob")).await;
    store.rotate(&first, Rotation::immediate()).await.expect("it has as many as before");
    store.revoke(&first).await.expect("revoked");
    issue(&store, new()).await;
    check_kind(store.issue(new()).await, &three);

    let ada = Owner { max_keys: Some(8), ..Owner::new(TenantId::default(), owner("ada")) };
    store.put_owner(&ada).await.expect("an owner");
    let at_once = (0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.issue(new()).await.is_ok() })
    });
    let mut issued = 0;
    for one in at_once.collect::<Vec<_>>() {
        issued += usize::from(one.await.expect("no panic"));
    }
    assert_eq!(issued, 5);
    check_kind(store.issue(new()).await, &StoreErrorKind::TooManyKeys { most: 8 });
    let none = Owner { max_keys: Some(0), ..Owner::new(TenantId::default(), owner("eve")) };
    store.put_owner(&none).await.expect("an owner");
    let refused = store.issue(NewKey::named("none").owner("eve")).await;
    check_kind(refused, &StoreErrorKind::TooManyKeys { most: 0 });
    // Those that are there stay.
    let fewer = Owner { max_keys: Some(1), ..ada };
    store.put_owner(&fewer).await.expect("an owner");
    check_kind(store.issue(new()).await, &StoreErrorKind::TooManyKeys { most: 1 });
}

/// Whoever wants a custom key at the same moment as another owner, and does not get it, knows that
/// it is in use: that counts, whether it was to be issued or rotated to.
pub async fn losing_a_race_is_a_guess<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let tenant = Tenant { custom_keys: CustomKeys::Allowed, ..Tenant::new(TenantId::default()) };
    store.put_tenant(&tenant).await.expect("a tenant");
    let owners = ["ada", "bob", "eve", "joe"];
    let mut own = Vec::new();
    for owner in owners {
        own.push(issue(&store, NewKey::named("own").owner(owner)).await);
    }
    let mut guesses = [0; 4];
    for round in 0..CustomKeyGuesses::MOST + 10 {
        let wanted = format!("a-key-that-all-of-them-want-{round:04}");
        let attempts: Vec<_> = owners
            .into_iter()
            .zip(&own)
            .map(|(owner, own)| {
                let (store, wanted, own) = (store.clone(), wanted.clone(), KeyRef::from(own));
                tokio::spawn(async move {
                    let outcome = if round % 2 == 0 {
                        store.issue(NewKey::named("race").owner(owner).custom(&wanted)).await
                    } else {
                        store.rotate(own, Rotation::immediate().custom(&wanted)).await
                    };
                    outcome.err().map(|error| error.kind().clone())
                })
            })
            .collect();
        let mut won = 0;
        for (attempt, guesses) in attempts.into_iter().zip(&mut guesses) {
            match attempt.await.expect("no panic") {
                None => won += 1,
                Some(StoreErrorKind::Taken) => *guesses += 1,
                Some(StoreErrorKind::TooManyGuesses { .. }) => {
                    assert_eq!(*guesses, CustomKeyGuesses::MOST, "round {round}");
                }
                Some(other) => panic!("{other:?}"),
            }
        }
        assert!(won <= 1, "it was given to {won}");
        bench.clock.advance(Duration::from_millis(1));
    }
    assert!(guesses.contains(&CustomKeyGuesses::MOST), "{guesses:?}");
}
