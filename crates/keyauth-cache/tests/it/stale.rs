//! What changes is known by the next request here, and with the next poll elsewhere.

use keyauth_core::{Denial, KeyStore, MemoryStore, NewKey, Rotation};

use super::world::{ADMITTED, Instance, REVOKED, UNKNOWN, issue};

#[tokio::test]
async fn a_revoked_key_is_refused_by_the_next_request() {
    // R5
    let store = MemoryStore::new();
    let (here, elsewhere) = (Instance::here(&store).await, Instance::elsewhere(&store).await);
    for _ in 0..100 {
        let key = issue(&store, "short-lived").await;
        assert_eq!(here.verify(&key).await, ADMITTED);
        assert_eq!(elsewhere.verify(&key).await, ADMITTED);
        store.revoke(&key).await.expect("revoked");
        assert_eq!(here.verify(&key).await, REVOKED);
        elsewhere.hear().await;
        assert_eq!(elsewhere.verify(&key).await, REVOKED);
    }
}

#[tokio::test]
async fn disabled_and_rotated_keys_are_refused_by_the_next_request() {
    // R5
    let store = MemoryStore::new();
    let (here, elsewhere) = (Instance::here(&store).await, Instance::elsewhere(&store).await);
    let key = issue(&store, "any").await;
    assert_eq!(here.verify(&key).await, ADMITTED);
    assert_eq!(elsewhere.verify(&key).await, ADMITTED);
    store.disable(&key).await.expect("disabled");
    assert_eq!(here.verify(&key).await, Ok(Err(Denial::KeyDisabled)));
    elsewhere.hear().await;
    assert_eq!(elsewhere.verify(&key).await, Ok(Err(Denial::KeyDisabled)));
    store.enable(&key).await.expect("enabled");
    assert_eq!(here.verify(&key).await, ADMITTED);

    let new = store.rotate(&key, Rotation::immediate()).await.expect("rotated");
    elsewhere.hear().await;
    for instance in [&here, &elsewhere] {
        assert_eq!(instance.verify(&key).await, Ok(Err(Denial::KeyExpired)));
        assert_eq!(instance.verify(&new).await, ADMITTED);
    }
}

#[tokio::test]
async fn what_was_unknown_and_is_issued_is_known_at_once() {
    // R4: a custom key can be presented before there is one.
    let keyring = keyauth_core::Keyring::new()
        .with_pepper(keyauth_core::Pepper::new(1, [1; 32]).expect("a pepper"))
        .and_then(keyauth_core::Keyring::with_custom_keys)
        .expect("a keyring");
    let issuer = keyauth_core::Issuer::new().with_keyring(keyring);
    let store = MemoryStore::with_issuer(issuer.clone());
    let tenant = keyauth_core::Tenant {
        custom_keys: keyauth_core::CustomKeys::Allowed,
        ..keyauth_core::Tenant::new(keyauth_core::TenantId::default())
    };
    keyauth_core::Directory::put_tenant(&store, &tenant).await.expect("a tenant");
    let (here, elsewhere) = (Instance::here(&store).await, Instance::elsewhere(&store).await);
    let new = || NewKey::named("own").custom("a-key-of-their-own-choosing");
    let wanted = issuer.draft(new()).expect("a valid key").into_issued();
    for instance in [&here, &elsewhere] {
        assert_eq!(instance.verify(&wanted).await, UNKNOWN);
        assert_eq!(instance.verify(&wanted).await, UNKNOWN);
    }
    store.issue(new()).await.expect("a valid key");
    assert_eq!(here.verify(&wanted).await, ADMITTED);
    elsewhere.hear().await;
    assert_eq!(elsewhere.verify(&wanted).await, ADMITTED);
}
