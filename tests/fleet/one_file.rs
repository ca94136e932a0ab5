//! Several processes on one SQLite file.

use std::time::Duration;

use keyauth_core::{ChangeFeed, KeyStore, NewKey, Propagation, Rotation};
use keyauth_sqlite::SqliteStore;

use keyauth_tests::Instance;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn each_sees_what_the_others_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    let file = file.to_str().expect("a UTF-8 name");
    let mut first = Instance::start(crate::INSTANCE, file, "first", Duration::from_secs(5)).await;
    let mut second = Instance::start(crate::INSTANCE, file, "second", Duration::from_secs(5)).await;
    for _ in 0..20 {
        let key = store.issue(NewKey::named("short-lived")).await.expect("a key");
        first.wait_for(key.reveal(), "admitted").await;
        second.wait_for(key.reveal(), "admitted").await;
        let (_, propagation) = store.revoke_and_wait(&key, PATIENCE).await.expect("revoked");
        assert_eq!(propagation, Propagation::Acknowledged);
        assert_eq!(first.verify(key.reveal()).await, "key_revoked");
        assert_eq!(second.verify(key.reveal()).await, "key_revoked");
    }
    let key = store.issue(NewKey::named("rotated")).await.expect("a key");
    first.wait_for(key.reveal(), "admitted").await;
    let new = store.rotate(&key, Rotation::immediate()).await.expect("rotated");
    first.wait_for(key.reveal(), "key_expired").await;
    second.wait_for(new.reveal(), "admitted").await;

    // One that is killed is named, and no longer waited for than it could be serving.
    first.signal("-KILL").await;
    let (_, propagation) =
        store.revoke_and_wait(&key, Duration::from_millis(500)).await.expect("revoked");
    assert_eq!(propagation, Propagation::TimedOut { missing: vec!["first".into()] });
    second.wait_for(new.reveal(), "key_revoked").await;
    second.end().await;
    store.close().await;
}
