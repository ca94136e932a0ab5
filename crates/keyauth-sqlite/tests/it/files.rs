//! What becomes of files: created, reopened, shared, refused.

use keyauth_core::{
    Authenticator, Denial, KeyRef, KeyStatus, KeyStore, NewKey, RequestFacts, StoreErrorKind,
};
use keyauth_sqlite::sqlx::{self, Connection, SqliteConnection};
use keyauth_sqlite::{OpenErrorKind, SqliteStore};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Runs a statement behind the store's back, as `sqlite3` would.
async fn tamper(file: &std::path::Path, sql: &'static str) -> Result<(), sqlx::Error> {
    let url = format!("sqlite://{}", file.display());
    let mut connection = SqliteConnection::connect(&url).await.expect("the file opens");
    sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
}

#[tokio::test]
async fn keys_outlive_the_process() {
    let folder = folder();
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    let key = store.issue(NewKey::named("lasting")).await.expect("a key");
    let gone = store.issue(NewKey::named("gone")).await.expect("a key");
    store.revoke(&gone).await.expect("revoked");
    store.close().await;

    let store = SqliteStore::open(&file).await.expect("the same file");
    assert_eq!(store.key(&KeyRef::from(&key)).await.expect("there"), *key.key());
    let auth = Authenticator::new(store);
    let decide =
        async |text: &str| auth.verify(text, &RequestFacts::new()).await.expect("an answer");
    assert!(decide(key.reveal()).await.is_ok());
    assert_eq!(decide(gone.reveal()).await.err(), Some(Denial::KeyRevoked));
}

#[tokio::test]
async fn connect_neither_creates_nor_migrates() {
    let folder = folder();
    let file = folder.path().join("keys.db");
    let error = SqliteStore::connect(&file).await.expect_err("there is no file");
    assert_eq!(error.kind(), OpenErrorKind::Unavailable);
    assert!(!file.exists());
    std::fs::write(&file, b"").expect("an empty file");
    let error = SqliteStore::connect(&file).await.expect_err("there is no schema");
    assert_eq!(error.kind(), OpenErrorKind::OlderSchema { found: 0, known: 8 });
    assert_eq!(std::fs::read(&file).expect("still there"), b"", "it was left as it was");
    assert!(error.to_string().contains("`SqliteStore::open` migrates it"), "{error}");
    SqliteStore::open(&file).await.expect("open migrates");
    SqliteStore::connect(&file).await.expect("now connect will do");
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_alone() {
    let folder = folder();
    let file = folder.path().join("keys.db");
    SqliteStore::open(&file).await.expect("a new file").close().await;
    let newer = "INSERT INTO _keyauth_migrations \
                 (version, description, success, checksum, execution_time) \
                 VALUES (99, 'from the future', TRUE, x'00', 0)";
    tamper(&file, newer).await.expect("the history can be written");
    let expected = OpenErrorKind::NewerSchema { found: 99, known: 8 };
    for outcome in [SqliteStore::open(&file).await, SqliteStore::connect(&file).await] {
        let error = outcome.expect_err("the file is newer");
        assert_eq!(error.kind(), expected);
        assert!(error.to_string().contains("use the newer one"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let folder = folder();
    let file = folder.path().join("keys.db");
    std::fs::write(&file, [0x42; 8192]).expect("a file");
    let error = SqliteStore::open(&file).await.expect_err("no database");
    assert_eq!(error.kind(), OpenErrorKind::Unavailable);
    assert_eq!(std::fs::read(&file).expect("still there"), [0x42; 8192]);
    for special in [":memory:", "file:keys.db?mode=memory", ""] {
        let error = SqliteStore::open(special).await.expect_err("no file");
        assert_eq!(error.kind(), OpenErrorKind::Unavailable, "{special}");
        assert!(!std::path::Path::new(special).exists(), "{special}");
    }
    let nowhere = SqliteStore::open(folder.path().join("no/such/folder/keys.db")).await;
    assert_eq!(nowhere.expect_err("no folder").kind(), OpenErrorKind::Unavailable);
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    store.issue(NewKey::named("key")).await.expect("a key");
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_may_open_a_new_file_at_once() {
    let folder = folder();
    let file = folder.path().join("keys.db");
    let opening: Vec<_> = (0..8)
        .map(|number| {
            let file = file.clone();
            tokio::spawn(async move {
                let store = SqliteStore::open(file).await?;
                let issued = store.issue(NewKey::named(format!("key {number}"))).await;
                Ok::<_, keyauth_sqlite::OpenError>((store, issued.expect("a key")))
            })
        })
        .collect();
    let mut opened = Vec::new();
    for task in opening {
        opened.push(task.await.expect("no panic").expect("opens"));
    }
    for (store, _) in &opened {
        for (_, key) in &opened {
            assert_eq!(store.key(&KeyRef::from(key)).await.expect("seen by all"), *key.key());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_wait_hold_up_no_lookup() {
    let folder = folder();
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    let key = store.issue(NewKey::named("read")).await.expect("a key");
    let url = format!("sqlite://{}", file.display());
    let mut writer = SqliteConnection::connect(&url).await.expect("another process");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.expect("it writes");
    let waiting: Vec<_> = (0..20)
        .map(|number| {
            let store = store.clone();
            let new = NewKey::named(format!("waiting {number}"));
            tokio::spawn(async move { store.issue(new).await })
        })
        .collect();
    let auth = Authenticator::new(store);
    for _ in 0..20 {
        let decision = auth.verify(key.reveal(), &RequestFacts::new()).await;
        assert!(decision.expect("an answer").is_ok());
    }
    assert!(waiting.iter().all(|issuing| !issuing.is_finished()), "they did wait");
    sqlx::query("ROLLBACK").execute(&mut writer).await.expect("it is done");
    for issuing in waiting {
        issuing.await.expect("no panic").expect("issued in the end");
    }
}

#[tokio::test]
async fn not_even_sql_brings_a_revoked_key_back() {
    let folder = folder();
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    let key = store.issue(NewKey::named("gone")).await.expect("a key");
    store.revoke(&key).await.expect("revoked");
    for sql in [
        "UPDATE keys SET status = 'active', revoked_at = NULL",
        "UPDATE keys SET status = 'disabled', revoked_at = NULL",
        "UPDATE keys SET revoked_at = 1",
    ] {
        let error = tamper(&file, sql).await.expect_err("the schema forbids it");
        assert!(error.to_string().contains("stays revoked"), "{error}");
    }
    assert_eq!(store.key(&KeyRef::from(&key)).await.expect("there").status, KeyStatus::Revoked);
}

#[tokio::test]
async fn a_damaged_row_is_no_answer_rather_than_a_wrong_one() {
    let folder = folder();
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    let key = store.issue(NewKey::named("damaged").scope("a")).await.expect("a key");
    tamper(&file, "UPDATE keys SET scopes = '{\"not\": \"a list\"}'").await.expect("valid JSON");
    let auth = Authenticator::new(store.clone());
    auth.verify(key.reveal(), &RequestFacts::new()).await.expect_err("no answer");
    let error = store.key(&KeyRef::from(&key)).await.expect_err("no answer");
    assert_eq!(error.kind(), &StoreErrorKind::Unavailable);
    // A4: patterns from before somebody checked them allow nobody.
    tamper(&file, "UPDATE keys SET scopes = '[]', allow_addresses = '[\"10.0.0.0/99\"]'")
        .await
        .expect("valid JSON");
    let facts = RequestFacts::new().with_address([10, 0, 0, 1].into());
    let decision = auth.verify(key.reveal(), &facts).await.expect("an answer");
    assert_eq!(decision.err(), Some(Denial::AddressDenied));
}

#[tokio::test]
async fn no_plaintext_reaches_the_disk() {
    // C16
    let folder = folder();
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    let key = store.issue(NewKey::named("secret")).await.expect("a key");
    let secret = &key.reveal().as_bytes()[8..];
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("its bytes");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}
