//! What a charge to one budget costs in each mode, beside the least that a database could do; and how
//! many rows of usage are written, beside the same statement without a queue.
//!
//! It needs Docker or a PostgreSQL, which it starts and ends.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that prints figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{
    Amount, Authenticator, BatchId, Budget, BudgetMode, BudgetWindow, CallDetails, Clock, KeyRef,
    KeyStore, Ledger, NewKey, OwnerId, RequestFacts, SystemClock, UsageBatch, UsageEvent, UsageLog,
};
use keyauth_metering::{LedgerMeter, UsageRecorder};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx::{self, AssertSqlSafe};
use keyauth_sqlite::SqliteStore;
use keyauth_testkit::PostgresDatabase;

const CALLS: usize = 1_024;
const CALLERS: [usize; 3] = [1, 16, 64];
const ROWS: usize = 100_000;
/// How many calls end in a millisecond, where rows are recorded.
const PACE: usize = 500;
/// As many as the recorder writes at once, at most.
const BATCH: usize = 2_000;

#[tokio::main]
async fn main() {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let folder = tempfile::tempdir().expect("a folder");
    let file = SqliteStore::open(folder.path().join("keys.db")).await.expect("a file");
    println!("{CALLS} charges to one budget; reserved within, and charges in a second, settled\n");
    for callers in CALLERS {
        by_hand(&store, callers).await;
        for mode in [BudgetMode::Hard, BudgetMode::Soft, BudgetMode::Leased] {
            charge("PostgreSQL", &store, mode, callers).await;
        }
        for mode in [BudgetMode::Hard, BudgetMode::Leased] {
            charge("SQLite", &file, mode, callers).await;
        }
        println!();
    }
    rows(&store, folder.path()).await;
}

/// Work of some callers at once, in all so many times. Says how long it took, and a call on average.
async fn at_once<F>(
    callers: usize,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> (Duration, Duration)
where
    F: Future<Output = ()> + Send,
{
    let clock = SystemClock::new();
    let (left, spent) = (Arc::new(AtomicUsize::new(CALLS)), Arc::new(AtomicU64::new(0)));
    let began = clock.uptime();
    let mut calling = Vec::new();
    for _ in 0..callers {
        let (left, spent, call) = (Arc::clone(&left), Arc::clone(&spent), call.clone());
        calling.push(tokio::spawn(async move {
            let one_less = |left: usize| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                let began = clock.uptime();
                call().await;
                let took = (clock.uptime() - began).as_micros();
                spent.fetch_add(u64::try_from(took).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        }));
    }
    for called in calling {
        called.await.expect("no panic");
    }
    let each = Duration::from_micros(spent.load(Ordering::Relaxed) / CALLS as u64);
    (clock.uptime() - began, each)
}

fn told(what: &str, callers: usize, each: Duration, whole: Duration, unanswered: usize) {
    let rate = CALLS as f64 / whole.as_secs_f64();
    println!("{callers:>3} at once  {what:<28} {each:>12?} {rate:>9.0}/s  {unanswered} unanswered");
}

/// The least that a budget could be: two conditional updates of one row, and nothing kept of a charge.
async fn by_hand(store: &PostgresStore, callers: usize) {
    let table = format!("by_hand_{callers}");
    let make = format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, used bigint NOT NULL, bound bigint NOT NULL); \
         INSERT INTO {table} VALUES (1, 0, 1000000000)"
    );
    sqlx::raw_sql(AssertSqlSafe(make)).execute(store.pool()).await.expect("made");
    let add: Arc<str> =
        format!("UPDATE {table} SET used = used + $1 WHERE id = 1 AND used + $1 <= bound").into();
    let pool = store.pool().clone();
    let call = move || {
        let (pool, add) = (pool.clone(), Arc::clone(&add));
        async move {
            for amount in [10_i64, -5] {
                let add = sqlx::query(AssertSqlSafe(add.to_string())).bind(amount);
                add.execute(&pool).await.expect("added");
            }
        }
    };
    let (whole, each) = at_once(callers, call).await;
    told("PostgreSQL, two bare updates", callers, each, whole, 0);
}

async fn charge<S>(what: &str, store: &S, mode: BudgetMode, callers: usize)
where
    S: KeyStore + Ledger + Clone + 'static,
{
    let limit = Amount::from_units(1_000_000).expect("an amount");
    let budget = Budget::new(limit, BudgetWindow::Total).in_mode(mode);
    let key = store.issue(NewKey::named("charged").budget(budget)).await.expect("a key");
    let meter = LedgerMeter::new(store.clone());
    let (auth, background) = Authenticator::new(store.clone()).with_meter(meter).start();
    let verified = auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer");
    let admission = verified.expect("admitted");
    let unanswered = Arc::new(AtomicUsize::new(0));
    let (auth, counting) = (auth.clone(), Arc::clone(&unanswered));
    let clock = SystemClock::new();
    let began = clock.uptime();
    let call = move || {
        let (auth, admission) = (auth.clone(), admission.clone());
        let unanswered = Arc::clone(&counting);
        async move {
            let opened = auth.charge(&admission, CallDetails::default);
            let (charge, _hold) = opened.expect("there is a meter");
            match charge.reserve(Amount::from_fractions(10)).await {
                Ok(reserved) => reserved.expect("room"),
                Err(_) => drop(unanswered.fetch_add(1, Ordering::Relaxed)),
            }
            charge.add(Amount::from_fractions(5));
        }
    };
    let (_, each) = at_once(callers, call).await;
    background.shutdown().await;
    let whole = clock.uptime() - began;
    let unanswered = unanswered.load(Ordering::Relaxed);
    told(&format!("{what}, {mode:?}"), callers, each, whole, unanswered);
}

/// Rows in a second, by the recorder and by the statement that it sends; in turns.
async fn rows(store: &PostgresStore, folder: &std::path::Path) {
    let key = store.issue(NewKey::named("used")).await.expect("a key");
    let event = event(&KeyRef::from(&key));
    let clock = SystemClock::new();
    println!("{ROWS} rows of usage in PostgreSQL");
    for round in 1..=3 {
        let began = clock.uptime();
        for _ in 0..ROWS / BATCH {
            let id = BatchId::begun_at(clock.now()).expect("randomness");
            let batch = UsageBatch { id, events: vec![event.clone(); BATCH] };
            store.write(&batch).await.expect("written");
        }
        let bare = clock.uptime() - began;
        let recorder =
            UsageRecorder::spooled(store.clone(), folder.join("spool")).expect("a spool");
        let background = recorder.start();
        let began = clock.uptime();
        for number in 0..ROWS {
            recorder.record(event.clone());
            // Not more at once than the queue takes.
            if number % PACE == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        recorder.flush().await.expect("written");
        let recorded = clock.uptime() - began;
        background.shutdown().await;
        assert_eq!(recorder.lost(), 0);
        let rate = |time: Duration| ROWS as f64 / time.as_secs_f64();
        println!(
            "round {round}: bare {:.0}/s, recorded {:.0}/s, {:.2} times as long",
            rate(bare),
            rate(recorded),
            recorded.as_secs_f64() / bare.as_secs_f64()
        );
    }
}

fn event(key: &KeyRef) -> UsageEvent {
    UsageEvent {
        at: SystemClock::new().now(),
        tenant: key.tenant.clone(),
        owner: OwnerId::default(),
        group: None,
        key: key.id,
        route: "POST /v1/completions".into(),
        resource: "small".into(),
        status: 200,
        cost: Amount::from_fractions(12_345),
        limit_cost: 1,
        input: 100,
        output: 20,
        duration: Duration::from_millis(250),
        address: Some([192, 0, 2, 1].into()),
    }
}
