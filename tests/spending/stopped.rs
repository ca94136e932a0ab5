//! Processes that are asked to end, or are killed, with all their queues full (F6).

use std::path::Path;
use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetMode, BudgetState, BudgetWindow, ChargedBudget, KeyStore, Ledger,
    LimitedSubject, NewKey, Period, TenantId, Timestamp, UsageReader,
};
use keyauth_postgres::PostgresStore;
use keyauth_sqlite::SqliteStore;
use keyauth_testkit::{FaultProxy, PostgresDatabase, Wire};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::PATIENCE;
use crate::spender::Spender;

/// More than anybody waits for.
const CALLS: usize = 100_000_000;
/// How much has been used when it ends.
const BEFORE: Amount = Amount::from_fractions(50 * 100_000_000);

async fn end(store: &(impl KeyStore + Ledger + UsageReader), name: &str, mode: BudgetMode) {
    let limit = Amount::from_units(1_000_000).expect("an amount");
    let budget = Budget::new(limit, BudgetWindow::Total).in_mode(mode);
    let key = store.issue(NewKey::named("spent").budget(budget.clone())).await.expect("a key");
    let subject = LimitedSubject::Key(TenantId::default(), key.id());
    let charged = ChargedBudget { subject: subject.clone(), budget };
    let spool = tempfile::tempdir().expect("a folder");
    let mut spender = Spender::start(name, &key, CALLS, spool.path()).await;
    wait_until_used(store, &charged, BEFORE).await;
    terminate(&spender).await;
    let spent = spender.spent().await;
    let status = timeout(PATIENCE, spender.process.wait()).await.expect("in time");
    assert!(status.expect("a status").success());
    let after = state(store, &charged).await;
    assert_eq!((after.reserved, after.lost), (Amount::ZERO, Amount::ZERO), "{mode:?}: {after:?}");
    assert_eq!(after.used.saturating_add(after.overrun).as_fractions(), spent.counted, "{mode:?}");
    assert_eq!(rows(store, &subject).await, spent.opened, "{mode:?}");
    assert!(is_empty(spool.path()));
}

/// Killed while the database is away, a process leaves what the next one finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_killed_have_spooled_is_written_by_the_next() {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let proxy = FaultProxy::to(database.url()).await;
    let spool = tempfile::tempdir().expect("a folder");
    let limit = Amount::from_units(1_000_000).expect("an amount");
    let budget = Budget::new(limit, BudgetWindow::Total).in_mode(BudgetMode::Leased);
    let key = store.issue(NewKey::named("spent").budget(budget.clone())).await.expect("a key");
    let subject = LimitedSubject::Key(TenantId::default(), key.id());
    let charged = ChargedBudget { subject: subject.clone(), budget };
    let mut spender = Spender::start(proxy.url(), &key, CALLS, spool.path()).await;
    wait_until_used(&store, &charged, BEFORE).await;
    proxy.set_wire(Wire::Cut);
    let size = || bytes_below(spool.path());
    let before = size();
    let growing = async {
        while size() < before + 10_000 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, growing).await.expect("calls are spooled");
    spender.process.kill().await.expect("killed");
    // What was under way to the database is there by now, or never.
    proxy.set_wire(Wire::Whole);
    let written = rows(&store, &subject).await;
    let mut next = Spender::start(database.url(), &key, 1, spool.path()).await;
    assert_eq!(next.line().await, "half");
    next.spent().await;
    assert!(next.process.wait().await.expect("a status").success());
    let after = rows(&store, &subject).await;
    assert!(after > written + 1, "{written} before, and {after} after one more");
    assert!(is_empty(spool.path()));
    let all = Period { start: Timestamp::from_micros(0), end: Timestamp::MAX };
    let calls = store.calls(&subject, all, u32::MAX).await.expect("calls").len();
    assert_eq!(calls, after, "rows and sums agree");
}

/// M10: what a full disk does not take waits in memory, and arrives once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_disk_does_not_take_is_written_all_the_same() {
    const KILOBYTES: u32 = 16;
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let proxy = FaultProxy::to(database.url()).await;
    let spool = tempfile::tempdir().expect("a folder");
    let limit = Amount::from_units(1_000_000).expect("an amount");
    let budget = Budget::new(limit, BudgetWindow::Total).in_mode(BudgetMode::Leased);
    let key = store.issue(NewKey::named("spent").budget(budget.clone())).await.expect("a key");
    let subject = LimitedSubject::Key(TenantId::default(), key.id());
    let charged = ChargedBudget { subject: subject.clone(), budget };
    let (url, folder) = (proxy.url(), spool.path());
    let mut spender = Spender::start_on_a_full_disk(url, &key, CALLS, folder, KILOBYTES).await;
    wait_until_used(&store, &charged, BEFORE).await;
    proxy.set_wire(Wire::Cut);
    let full = async {
        // Several files, each of which has met its end.
        while bytes_below(spool.path()) < 4 * 1_024 * u64::from(KILOBYTES) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, full).await.expect("the disk is full");
    proxy.set_wire(Wire::Whole);
    terminate(&spender).await;
    let spent = spender.spent().await;
    assert!(spender.process.wait().await.expect("a status").success());
    assert_eq!(rows(&store, &subject).await, spent.opened);
    let all = Period { start: Timestamp::from_micros(0), end: Timestamp::MAX };
    let calls = store.calls(&subject, all, u32::MAX).await.expect("calls").len();
    assert_eq!(calls, spent.opened, "rows and sums agree");
    assert!(is_empty(spool.path()));
}

/// Asks a process to end.
async fn terminate(spender: &Spender) {
    let pid = spender.process.id().expect("it runs").to_string();
    let terminated = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(terminated.expect("kill runs").success());
}

/// How many calls are in the sums.
async fn rows(reader: &impl UsageReader, of: &LimitedSubject) -> usize {
    let all = Period { start: Timestamp::from_micros(0), end: Timestamp::MAX };
    let total = reader.total(of, all).await.expect("a total");
    usize::try_from(total.requests).expect("a count")
}

fn bytes_below(folder: &Path) -> u64 {
    // Files come and go meanwhile.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let len = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(len).sum()
}

async fn state(ledger: &impl Ledger, charged: &ChargedBudget) -> BudgetState {
    ledger.states(std::slice::from_ref(charged)).await.expect("an answer")[0]
}

async fn wait_until_used(ledger: &impl Ledger, charged: &ChargedBudget, amount: Amount) {
    let used = async {
        while state(ledger, charged).await.used < amount {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, used).await.expect("it is used in time");
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_to_end_leaves_nothing_behind_in_postgres() {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    for mode in [BudgetMode::Hard, BudgetMode::Leased, BudgetMode::Soft] {
        end(&store, database.url(), mode).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_to_end_leaves_nothing_behind_on_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let file = file.to_str().expect("a path");
    let store = SqliteStore::open(file).await.expect("a file");
    for mode in [BudgetMode::Hard, BudgetMode::Leased, BudgetMode::Soft] {
        end(&store, file, mode).await;
    }
}
