//! Moving from another system: many keys by their bcrypt hashes, over a database and a cache.

use std::sync::Arc;
use std::time::Duration;

use keyauth_cache::CachedLookup;
use keyauth_core::{
    Authenticator, ChangeFeed, Clock, Denial, ImportStore, ImportedSecret, Issuer, KeyId, Keyring,
    LookupErrorKind, NewKey, RequestFacts, SystemClock,
};
use keyauth_import::KeyImporter;
use keyauth_postgres::PostgresStore;
use keyauth_sqlite::SqliteStore;
use keyauth_testkit::PostgresDatabase;
use tokio::task::{JoinSet, spawn_blocking};

/// How many are imported of bcrypt's least cost; `KEYAUTH_IMPORTS=10000` for figures.
const KEYS: &str = "300";
/// How many of a cost that takes its time.
const COSTLY: usize = 10;
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_system_move_into_postgres() {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    keys_move_into(store.with_issuer(issuer())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_system_move_into_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("keys.db")).await.expect("a new file");
    keys_move_into(store.with_issuer(issuer())).await;
}

/// A balancer spreads a holder's first requests over two instances, each with a cache of its own: what
/// one has recognised, the other does not refuse for having looked a moment before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_be_presented_first_on_two_instances_at_once() {
    let database = PostgresDatabase::create().await;
    let mut instances = Vec::new();
    for _ in 0..2 {
        let store = PostgresStore::connect(database.url()).await.expect("a server");
        store.migrate().await.expect("a schema");
        let store = store.with_issuer(issuer());
        let auth = Authenticator::new(CachedLookup::new(store.clone()))
            .with_importer(KeyImporter::new(store.clone()));
        instances.push((store, auth.start()));
    }
    let (store, _) = instances.first().expect("two");
    for number in 0..40 {
        let hash = bcrypt::hash(text(number), 4).expect("randomness");
        let hash = ImportedSecret::new(hash.parse().expect("a hash"));
        let hash = hash.begins_with(&text(number)[..12]);
        store.import(NewKey::named("moved"), hash).await.expect("imported");
        let presented = instances.iter().map(|(_, (auth, _))| {
            let auth = auth.clone();
            tokio::spawn(async move { auth.verify(&text(number), &RequestFacts::new()).await })
        });
        for presented in presented.collect::<Vec<_>>() {
            let decision = presented.await.expect("no panic").expect("an answer");
            assert_eq!(decision.err(), None, "key {number}");
        }
    }
    for (_, (_, background)) in instances {
        background.shutdown().await;
    }
}

fn issuer() -> Issuer {
    Issuer::new().with_keyring(Keyring::new().with_imported_keys())
}

fn text(number: usize) -> String {
    format!("other-{number:06}-0123456789abcdefghijklmnopqrstuv")
}

async fn keys_move_into<S>(store: S)
where
    S: ImportStore + ChangeFeed + Clone + 'static,
{
    let keys = std::env::var("KEYAUTH_IMPORTS").unwrap_or_else(|_| KEYS.to_owned());
    let keys: usize = keys.parse().expect("a number of keys");
    let hashes = each(keys, |number| async move {
        let cost = if number < COSTLY { 12 } else { 4 };
        let hash = spawn_blocking(move || bcrypt::hash(text(number), cost)).await;
        hash.expect("no panic").expect("randomness")
    })
    .await;
    let hashes = Arc::new(hashes);

    let clock = SystemClock::new();
    let began = clock.uptime();
    let importing = store.clone();
    let ids: Vec<KeyId> = each(keys, move |number| {
        let hash = hashes.get(number).expect("one for each").parse().expect("a hash");
        let hash = ImportedSecret::new(hash);
        let hash = hash.begins_with(&text(number)[..12]);
        let store = importing.clone();
        async move { store.import(NewKey::named("moved"), hash).await.expect("imported").id }
    })
    .await;
    print("imported", keys, clock.uptime() - began);

    let importer = KeyImporter::new(store.clone());
    let auth = Authenticator::new(CachedLookup::new(store.clone())).with_importer(importer);
    let (auth, background) = auth.start();
    let ids = Arc::new(ids);
    for time in ["a first time", "a second time"] {
        let began = clock.uptime();
        let (auth, ids) = (auth.clone(), Arc::clone(&ids));
        each(keys, move |number| {
            let (auth, ids) = (auth.clone(), Arc::clone(&ids));
            async move {
                // Who has waited for long enough is not told no, and asks again.
                let admitted = loop {
                    match auth.verify(&text(number), &RequestFacts::new()).await {
                        Ok(decision) => break decision.expect("it is the right one"),
                        Err(error) => assert_eq!(error.kind(), LookupErrorKind::Overloaded),
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                };
                assert_eq!(Some(&admitted.key_id()), ids.get(number));
            }
        })
        .await;
        print(&format!("presented {time}"), keys, clock.uptime() - began);
    }
    for number in (0..keys).step_by(keys.div_ceil(10)) {
        let mut wrong = text(number);
        wrong.pop();
        for _ in 0..2 {
            let refused = auth.verify(&wrong, &RequestFacts::new()).await.expect("an answer");
            assert_eq!(refused.err(), Some(Denial::InvalidKey), "a right beginning is not enough");
        }
    }
    // All are known by their digest now: nobody is asked to recognise them any more.
    let plain = Authenticator::new(store.clone());
    for number in 0..keys {
        let decision = plain.verify(&text(number), &RequestFacts::new()).await;
        assert!(decision.expect("an answer").is_ok(), "{number}");
    }
    background.shutdown().await;
}

/// Does something for each number, some at once.
async fn each<T: Send + 'static, F>(
    count: usize,
    work: impl Fn(usize) -> F + Send + Sync + 'static,
) -> Vec<T>
where
    F: Future<Output = T> + Send,
{
    let work = Arc::new(work);
    let mut lanes = JoinSet::new();
    for lane in 0..AT_ONCE {
        let work = Arc::clone(&work);
        lanes.spawn(async move {
            let mut done = Vec::new();
            for number in (lane..count).step_by(AT_ONCE) {
                done.push((number, work(number).await));
            }
            done
        });
    }
    let mut done: Vec<_> = lanes.join_all().await.into_iter().flatten().collect();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

#[expect(clippy::print_stdout, reason = "figures are for people")]
fn print(what: &str, keys: usize, took: Duration) {
    let each = took / u32::try_from(keys).expect("a small number");
    println!("{keys} keys {what}: {took:?}, {each:?} each");
}
