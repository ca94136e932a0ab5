//! Several processes that spend of one budget, one of which is killed: a binary of its own, since it
//! leaves a machine no time for anything else.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod crash;
mod spender;
mod stopped;
mod usage;

use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetMode, BudgetState, BudgetWindow, ChargedBudget, KeyStore, Ledger,
    LimitedSubject, NewKey, TenantId,
};
use keyauth_postgres::PostgresStore;
use keyauth_sqlite::SqliteStore;
use keyauth_testkit::PostgresDatabase;
use tokio::time::{Instant, sleep};

use spender::Spender;

const PROCESSES: usize = 4;
/// How long the ledger keeps what nobody renews, and a little more to look.
const A_MINUTE: Duration = Duration::from_secs(63);
const PATIENCE: Duration = Duration::from_secs(300);

/// How many calls all processes make together; `KEYAUTH_CALLS` for another count.
fn calls() -> usize {
    std::env::var("KEYAUTH_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// A fraction of what all calls together would come to, and less than what is under way of them.
fn budget(mode: BudgetMode) -> Budget {
    let limit = i64::try_from(calls()).expect("a count") / 2;
    let limit = Amount::from_units(limit).expect("an amount");
    Budget::new(limit, BudgetWindow::Total).in_mode(mode)
}

/// What became of it all.
struct Outcome {
    /// What the processes that lived have counted.
    counted: i64,
    refused: usize,
    unanswered: usize,
    state: BudgetState,
    /// How long after the kill nothing was reserved any more.
    at_rest: Duration,
}

async fn run(
    store: &(impl KeyStore + Ledger),
    name: &str,
    mode: BudgetMode,
    kill: bool,
) -> Outcome {
    let budget = budget(mode);
    let key = store.issue(NewKey::named("spent").budget(budget.clone())).await.expect("a key");
    let subject = LimitedSubject::Key(TenantId::default(), key.id());
    let charged = ChargedBudget { subject, budget };
    let state = async || {
        let states = store.states(std::slice::from_ref(&charged)).await.expect("an answer");
        let state = states[0];
        let all = state.used.saturating_add(state.reserved);
        assert!(all <= state.limit, "{state:?}");
        state
    };
    let spool = tempfile::tempdir().expect("a folder");
    let mut spenders = Vec::new();
    for _ in 0..PROCESSES {
        spenders.push(Spender::start(name, &key, calls() / PROCESSES, spool.path()).await);
    }
    if kill {
        let mut killed = spenders.remove(0);
        assert_eq!(killed.line().await, "half");
        killed.process.kill().await.expect("killed");
    }
    let since = Instant::now();
    let (mut counted, mut refused, mut unanswered) = (0, 0, 0);
    let reading = async {
        for spender in &mut spenders {
            assert_eq!(spender.line().await, "half");
            let spent = spender.spent().await;
            counted += spent.counted;
            refused += spent.refused;
            unanswered += spent.unanswered;
        }
    };
    let watching = async {
        loop {
            state().await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = watching => {}
    }
    let mut last = state().await;
    while last.reserved != Amount::ZERO {
        assert!(since.elapsed() < A_MINUTE + PATIENCE, "{last:?}");
        sleep(Duration::from_millis(100)).await;
        last = state().await;
    }
    Outcome { counted, refused, unanswered, state: last, at_rest: since.elapsed() }
}

/// Settled and lost are used, to the last fraction, and never above the limit.
fn check(what: &str, kill: bool, settled: i64, outcome: &Outcome) {
    let Outcome { counted, refused, unanswered, state, at_rest } = outcome;
    told(format_args!(
        "{what}: of {} used {}, settled {}, lost {}, overrun {}; {refused} calls of {} refused, \
         {unanswered} without an answer; nothing reserved {at_rest:?} later",
        state.limit,
        state.used,
        Amount::from_fractions(settled),
        state.lost,
        state.overrun,
        calls(),
    ));
    assert!(state.used <= state.limit, "{state:?}");
    assert_eq!(settled + state.lost.as_fractions(), state.used.as_fractions());
    let made = state.used.saturating_add(state.overrun).as_fractions();
    if kill {
        // What the one that was killed had counted is there besides, or lost.
        assert!(*counted <= made, "{counted} of {made}");
    } else {
        assert_eq!((*counted, state.lost), (made, Amount::ZERO));
    }
    // It was tight, and yet most of it could be spent, unless the machine was too slow.
    let most = state.limit.as_fractions() * 9 / 10;
    assert!(made >= most && *refused > 0 || *unanswered > 0, "{state:?}");
}

#[expect(clippy::print_stdout, reason = "figures are for people")]
fn told(figures: std::fmt::Arguments<'_>) {
    println!("{figures}");
}

async fn in_postgres(mode: BudgetMode, kill: bool) {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let outcome = run(&store, database.url(), mode, kill).await;
    let settled =
        sqlx::query_scalar("SELECT coalesce(sum(charged), 0)::bigint FROM keyauth.charges");
    let settled = settled.fetch_one(store.pool()).await.expect("a sum");
    check(&format!("PostgreSQL, {mode:?}, killed: {kill}"), kill, settled, &outcome);
}

async fn on_one_file(mode: BudgetMode, kill: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let file = file.to_str().expect("a path");
    let store = SqliteStore::open(file).await.expect("a file");
    let outcome = run(&store, file, mode, kill).await;
    let pool = sqlx::SqlitePool::connect(file).await.expect("the file");
    let settled = sqlx::query_scalar("SELECT coalesce(sum(charged), 0) FROM charges");
    let settled = settled.fetch_one(&pool).await.expect("a sum");
    check(&format!("SQLite, {mode:?}, killed: {kill}"), kill, settled, &outcome);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hard_budget_in_postgres_adds_up() {
    tokio::join!(in_postgres(BudgetMode::Hard, false), in_postgres(BudgetMode::Hard, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leased_budget_in_postgres_adds_up() {
    tokio::join!(in_postgres(BudgetMode::Leased, false), in_postgres(BudgetMode::Leased, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hard_budget_on_one_file_adds_up() {
    tokio::join!(on_one_file(BudgetMode::Hard, false), on_one_file(BudgetMode::Hard, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leased_budget_on_one_file_adds_up() {
    tokio::join!(on_one_file(BudgetMode::Leased, false), on_one_file(BudgetMode::Leased, true));
}
