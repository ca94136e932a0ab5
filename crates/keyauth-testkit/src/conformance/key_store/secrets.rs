//! Custom keys and peppers.

use std::sync::Arc;

use keyauth_core::{
    Authenticator, CustomKeys, Denial, Directory, Issuer, KeyDigest, KeyLookup, KeyRecord,
    KeyStore, Keyring, LookupError, NewKey, Pepper, RequestFacts, Rotation, StoreErrorKind, Tenant,
    TenantId,
};

use super::bench::{Bench, check_kind, check_problems, issue, keyring};

/// Custom keys work where keyring and tenant allow them, and belong to one key only.
pub async fn custom_keys_need_permission_and_are_unique<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let custom = "my-own-key_0123456789-0123456789";
    check_problems(store.issue(NewKey::named("own").custom(custom)).await, &["custom_key"]);
    let tenant = Tenant { custom_keys: CustomKeys::Allowed, ..Tenant::new(TenantId::default()) };
    store.put_tenant(&tenant).await.expect("a tenant");
    for bad in ["too-short-key-x", "has.dots.in.it-012345", "sk_live_with-our-prefix-0123"] {
        check_problems(store.issue(NewKey::named("own").custom(bad)).await, &["custom_key"]);
    }
    let key = issue(&store, NewKey::named("own").custom(custom)).await;
    assert_eq!((key.reveal(), key.key().hint.as_str()), (custom, "my-o"));
    assert_eq!(bench.decide(&store, custom).await, Ok(()));
    check_kind(store.issue(NewKey::named("again").custom(custom)).await, &StoreErrorKind::Taken);
    let generated = issue(&store, NewKey::named("generated")).await;
    let taken = store.rotate(&generated, Rotation::immediate().custom(custom)).await;
    check_kind(taken, &StoreErrorKind::Taken);
    assert_eq!(bench.decide(&store, generated.reveal()).await, Ok(()));
    let rotated = store.rotate(&key, Rotation::immediate()).await.expect("can be rotated");
    assert!(rotated.reveal().starts_with("sk_live_"));
    assert_eq!(bench.decide(&store, custom).await, Err(Denial::KeyExpired));
}

/// Keys under an old pepper are found beside those under a new one.
pub async fn old_and_new_peppers_work_side_by_side<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let key = issue(&store, NewKey::named("old pepper")).await;
    let newer = keyring().with_pepper(Pepper::new(2, [2; 32]).expect("a pepper"));
    let keyring = newer.expect("a keyring");
    let newer = Issuer::new().with_keyring(keyring.clone());
    let draft = newer.draft(NewKey::named("new pepper")).expect("a valid key");
    store.insert(&draft.key, &draft.secret).await.expect("a new key");
    let new_key = draft.into_issued();
    let both = Rekeyed { store: store.clone(), keyring };
    let auth = Authenticator::new(both).with_clock(Arc::clone(&bench.clock) as _);
    for key in [&key, &new_key] {
        let decision = auth.verify(key.reveal(), &RequestFacts::new()).await;
        assert!(decision.expect("the store answers").is_ok());
    }
    // The deployment that has not got the new pepper yet knows the new key not at all.
    assert_eq!(bench.decide(&store, new_key.reveal()).await, Err(Denial::InvalidKey));
}

/// A store that looks keys up by another keyring than it was opened with.
struct Rekeyed<S> {
    store: S,
    keyring: Keyring,
}

impl<S: KeyLookup> KeyLookup for Rekeyed<S> {
    fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        self.store.find(digest).await
    }
}
