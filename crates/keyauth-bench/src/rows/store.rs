//! Misses, which the store answers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{Authenticator, ChangeFeed, KeyDigest, KeyLookup, KeyStore, RequestFacts};
use keyauth_postgres::PostgresStore;
use keyauth_sqlite::SqliteStore;
use keyauth_testkit::PostgresDatabase;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;

use crate::bench::{Bench, one_by_one};
use crate::by_hand::record::{Record, from_postgres, from_sqlite};
use crate::data;
use crate::fixture::typical;
use crate::report::{Bound, Row};
use crate::rounds::Rounds;

/// In each round, none of which was looked up before by whoever has its turn.
const CALLS: usize = 400;
const ROUNDS: usize = 32;

pub(crate) fn postgres(bench: &Bench) -> Result<Row, String> {
    let rounds = bench.rounds(ROUNDS);
    let (database, store, keys, pool) = bench.block_on(async move {
        let database = PostgresDatabase::create().await;
        let connect = || PostgresStore::connect(database.url());
        let store = connect().await.expect("a server");
        store.migrate().await.expect("a schema");
        let keys = issue(&store, (rounds + 1) * CALLS).await;
        // Another, which like the one by hand has no more connections than it needs: with many, each
        // lookup would wake another server process.
        let store = connect().await.expect("a server");
        let pool = PgPoolOptions::new().max_connections(20).connect(database.url()).await;
        (database, store, keys, pool.expect("a server"))
    });
    let by_hand = move |digest: Vec<u8>| {
        let pool = pool.clone();
        async move { from_postgres(&pool, &digest).await }
    };
    let what = "a key that nobody has cached, from PostgreSQL; the same statement by hand";
    let row = compare(bench, store, &keys, by_hand, what);
    bench.block_on(async move { drop(database) });
    Ok(row)
}

pub(crate) fn sqlite(bench: &Bench) -> Result<Row, String> {
    let rounds = bench.rounds(ROUNDS);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let (store, keys, pool) = bench.block_on(async move {
        let store = SqliteStore::open(&file).await.expect("a file");
        let keys = issue(&store, (rounds + 1) * CALLS).await;
        let url = format!("sqlite://{}", file.display());
        let pool = SqlitePoolOptions::new().max_connections(4).connect(&url).await;
        (store, keys, pool.expect("a file"))
    });
    let by_hand = move |digest: Vec<u8>| {
        let pool = pool.clone();
        async move { from_sqlite(&pool, &digest).await }
    };
    let what = "a key that nobody has cached, from SQLite; the same statement by hand";
    Ok(compare(bench, store, &keys, by_hand, what))
}

/// Issues keys, several at once, and gives their texts.
async fn issue<S: KeyStore + Clone + 'static>(store: &S, count: usize) -> Arc<[String]> {
    const AT_ONCE: usize = 16;
    let issuing: Vec<_> = (0..AT_ONCE)
        .map(|first| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut keys = Vec::new();
                for number in (first..count).step_by(AT_ONCE) {
                    let key = store.issue(typical(number)).await.expect("a key");
                    keys.push(key.reveal().to_owned());
                }
                keys
            })
        })
        .collect();
    let mut keys = Vec::new();
    for issued in issuing {
        keys.extend(issued.await.expect("no panic"));
    }
    keys.into()
}

fn compare<S, H, F>(
    bench: &Bench,
    store: S,
    keys: &Arc<[String]>,
    by_hand: H,
    what: &'static str,
) -> Row
where
    S: ChangeFeed + 'static,
    H: Fn(Vec<u8>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Record, sqlx::Error>> + Send,
{
    let auth = bench.block_on(async move {
        let (auth, background) = Authenticator::new(CachedLookup::new(store)).start();
        // It polls for as long as the authenticator is there.
        drop(background);
        auth
    });
    let slices = |turn: &mut usize| {
        let slice = keys.len() / CALLS;
        let from = (*turn % slice) * CALLS;
        *turn += 1;
        (Arc::clone(keys), from)
    };
    let (mut our_turn, mut their_turn) = (0, 0);
    let rounds = Rounds::run(
        bench.rounds(ROUNDS),
        [
            &mut || {
                let (auth, (keys, from)) = (auth.clone(), slices(&mut our_turn));
                bench.block_on(async move {
                    one_by_one(CALLS, |number| {
                        let (auth, key) = (&auth, &keys[from + number]);
                        async move {
                            let facts = RequestFacts::new();
                            auth.verify(key, &facts).await.expect("an answer").expect("admitted");
                        }
                    })
                    .await
                })
            },
            &mut || {
                let (by_hand, (keys, from)) = (by_hand.clone(), slices(&mut their_turn));
                bench.block_on(async move {
                    one_by_one(CALLS, |number| {
                        let found = by_hand(Sha256::digest(&keys[from + number]).to_vec());
                        async { drop(found.await.expect("a row")) }
                    })
                    .await
                })
            },
        ],
    );
    Row::of(what, &rounds, Bound::AtMost(1.3))
}

/// Misses at so many keys as there are in each of the databases, the most first.
pub(crate) fn misses(bench: &Bench) -> Option<Rounds<4>> {
    let data = bench.block_on(data::Kept::open())?;
    let [mut few, mut some, mut more, mut many] =
        data::COUNTS.map(|count| found(bench, count, 0, ours(bench, &data, count)));
    Some(Rounds::run(bench.rounds(ROUNDS), [&mut many, &mut more, &mut some, &mut few]))
}

/// Ten million keys beside ten thousand.
pub(crate) fn growth(bench: &Bench) -> Result<Row, String> {
    let missing = "the ten million keys are made by `just bench-data`";
    let data = bench.block_on(data::Kept::open()).ok_or(missing)?;
    let [few, .., many] = data::COUNTS;
    let [mut ours_few, mut ours_many] =
        [few, many].map(|count| found(bench, count, 0, ours(bench, &data, count)));
    // Others, so that neither finds in memory what was fetched for the other.
    let [mut few, mut many] =
        [few, many].map(|count| found(bench, count, count / 2, by_hand(bench, &data, count)));
    let rounds =
        Rounds::run(bench.rounds(ROUNDS), [&mut ours_many, &mut many, &mut few, &mut ours_few]);
    let what = "a miss at 10 000 000 keys in PostgreSQL; at 10 000";
    let row = Row::of(what, &rounds, Bound::AtMost(1.3));
    let by_hand = rounds.median(|[_, many, few, _]| many / few);
    Ok(row.note(&format!("the same statement by hand, at as many each, {by_hand:.2}")))
}

fn ours(bench: &Bench, data: &data::Kept, count: usize) -> impl Fn([u8; 32]) -> Finding + use<> {
    let url = data.url(count);
    let lookup = bench.block_on(async move {
        let store = PostgresStore::connect(&url).await.expect("a server");
        // Nothing stays.
        let lookup = CachedLookup::with_options(store, CacheOptions::new().capacity(0));
        drop(lookup.start());
        Arc::new(lookup)
    });
    move |digest| {
        let lookup = Arc::clone(&lookup);
        Box::pin(async move {
            let found = lookup.find(&KeyDigest::from_bytes(digest)).await;
            assert!(found.expect("an answer").is_some(), "it is there");
        })
    }
}

fn by_hand(bench: &Bench, data: &data::Kept, count: usize) -> impl Fn([u8; 32]) -> Finding + use<> {
    let url = data.url(count);
    let connect = PgPoolOptions::new().max_connections(20);
    let pool = bench.block_on(async move { connect.connect(&url).await.expect("a server") });
    move |digest| {
        let pool = pool.clone();
        Box::pin(async move { drop(from_postgres(&pool, &digest).await.expect("a row")) })
    }
}

type Finding = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What it takes to find keys, others each time, from a number on.
fn found(
    bench: &Bench,
    count: usize,
    mut next: usize,
    find: impl Fn([u8; 32]) -> Finding + Send + Sync + 'static,
) -> impl FnMut() -> Duration {
    let find = Arc::new(find);
    move || {
        let (find, from) = (Arc::clone(&find), next);
        next += CALLS;
        bench.block_on(async move {
            one_by_one(CALLS, |number| find(data::digest((from + number) * 7_919 % count))).await
        })
    }
}
