//! A database that is killed while it commits what was spent, and what was used (F2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{
    Admission, Amount, Authenticator, Budget, BudgetMode, BudgetWindow, CallDetails, ChargedBudget,
    KeyStore, Ledger, LimitedSubject, NewKey, RequestFacts, TenantId,
};
use keyauth_metering::{LedgerMeter, UsageRecorder};
use keyauth_postgres::PostgresStore;
use keyauth_testkit::{FaultProxy, PostgresDatabase, PostgresServer, Wire};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::{A_MINUTE, PATIENCE, told};

const AT_ONCE: usize = 16;
const CRASHES: usize = 3;

#[derive(Default)]
struct Tally {
    is_over: AtomicBool,
    calls: AtomicUsize,
    unanswered: AtomicUsize,
    /// In fractions.
    counted: AtomicI64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_when_a_database_is_killed_is_spent_once() {
    let server = PostgresServer::start(&[]).await;
    let store = PostgresStore::connect(&server.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let limit = Amount::from_units(1_000_000).expect("an amount");
    let budget =
        |name: &str, mode| Budget::new(limit, BudgetWindow::Total).named(name).in_mode(mode);
    let budgets = [budget("hard", BudgetMode::Hard), budget("leased", BudgetMode::Leased)];
    let mut keys = Vec::new();
    for budget in &budgets {
        let key = store.issue(NewKey::named("spent").budget(budget.clone())).await.expect("a key");
        keys.push(key);
    }
    let recorder = UsageRecorder::in_memory(store.clone());
    let meter = LedgerMeter::new(store.clone()).recording(&recorder);
    let (auth, background) = Authenticator::new(store.clone()).with_meter(meter).start();
    let tallies = [Arc::<Tally>::default(), Arc::default()];
    let mut calling = JoinSet::new();
    for (key, tally) in keys.iter().zip(&tallies) {
        let verified = auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer");
        let admission = verified.expect("admitted");
        for _ in 0..AT_ONCE {
            calling.spawn(call(auth.clone(), admission.clone(), Arc::clone(tally)));
        }
    }
    let counted = || tallies.each_ref().map(|tally| tally.counted.load(Ordering::Relaxed));
    for _ in 0..CRASHES {
        let before = counted();
        let working = async {
            while counted().iter().zip(before).any(|(now, before)| *now == before) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, working).await.expect("it works again");
        sleep(Duration::from_secs(1)).await;
        server.crash_and_restart().await;
    }
    tallies.iter().for_each(|tally| tally.is_over.store(true, Ordering::Relaxed));
    while let Some(ended) = calling.join_next().await {
        ended.expect("no panic");
    }
    let calls: usize = tallies.iter().map(|tally| tally.calls.load(Ordering::Relaxed)).sum();
    let written = async { while recorder.flush().await.is_err() {} };
    timeout(PATIENCE, written).await.expect("usage is written in the end");
    background.shutdown().await;

    for ((key, budget), tally) in keys.iter().zip(budgets).zip(&tallies) {
        let subject = LimitedSubject::Key(TenantId::default(), key.id());
        let charged = [ChargedBudget { subject, budget }];
        let at_rest = async {
            loop {
                let state = store.states(&charged).await.expect("an answer")[0];
                if state.reserved == Amount::ZERO {
                    break state;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        // What was reserved by a commit that nobody has heard of comes back.
        let state = timeout(A_MINUTE + PATIENCE, at_rest).await.expect("it comes to rest");
        let counted = tally.counted.load(Ordering::Relaxed);
        let unanswered = tally.unanswered.load(Ordering::Relaxed);
        told(format_args!(
            "{}: a server killed {CRASHES} times: counted {}, {unanswered} calls without an answer: \
             {state:?}",
            charged[0].budget.name,
            Amount::from_fractions(counted),
        ));
        let settled = state.used.saturating_sub(state.lost).saturating_add(state.overrun);
        assert_eq!(settled.as_fractions(), counted);
    }
    let count = async |statement: &'static str| {
        let count = sqlx::query_scalar(statement).fetch_one(store.pool()).await;
        usize::try_from(count.map(|count: i64| count).expect("a count")).expect("a count")
    };
    assert_eq!(count("SELECT count(*) FROM keyauth.usage").await, calls);
    assert_eq!(count("SELECT sum(requests)::bigint FROM keyauth.usage_days").await, calls);
    assert_eq!(recorder.lost(), 0);
}

/// What was reserved before a database is away for more than a minute, and ends meanwhile or later, is
/// settled by what it came to, though others have given it back by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outlasts_a_database_that_is_away_is_spent_once() {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let proxy = FaultProxy::to(database.url()).await;
    let ledger = PostgresStore::connect(proxy.url()).await.expect("a server");
    let meter = LedgerMeter::new(ledger);
    let (auth, background) = Authenticator::new(store.clone()).with_meter(meter).start();
    let limit = Amount::from_units(1_000).expect("an amount");
    let one = Amount::from_units(1).expect("an amount");
    let (mut before, mut after, mut charged) = (Vec::new(), Vec::new(), Vec::new());
    for mode in [BudgetMode::Hard, BudgetMode::Leased] {
        let budget = Budget::new(limit, BudgetWindow::Total).in_mode(mode);
        let key = store.issue(NewKey::named("spent").budget(budget.clone())).await.expect("a key");
        let subject = LimitedSubject::Key(TenantId::default(), key.id());
        charged.push(ChargedBudget { subject, budget });
        let verified = auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer");
        let admission = verified.expect("admitted");
        for ended in 0..20 {
            let charge = auth.charge(&admission, CallDetails::default);
            let (charge, hold) = charge.expect("there is a meter");
            charge.reserve(one).await.expect("an answer").expect("room");
            charge.add(one);
            if ended % 2 == 0 { before.push(hold) } else { after.push((charge, hold)) }
        }
    }
    proxy.set_wire(Wire::Cut);
    drop(before);
    // Another process tidies meanwhile.
    let until = Instant::now() + A_MINUTE + Duration::from_secs(5);
    while Instant::now() < until {
        store.tidy().await.expect("tidied");
        sleep(Duration::from_secs(1)).await;
    }
    let states = store.states(&charged).await.expect("an answer");
    assert_eq!((states[0].used, states[0].reserved), (Amount::ZERO, Amount::ZERO), "given back");
    assert!(states[1].lost >= Amount::from_units(20).expect("an amount"), "{:?}", states[1]);
    for (charge, hold) in after {
        charge.add(one);
        drop(hold);
    }
    proxy.set_wire(Wire::Whole);
    background.shutdown().await;
    let states = store.states(&charged).await.expect("an answer");
    let thirty = Amount::from_units(30).expect("an amount");
    for state in states {
        assert_eq!((state.used, state.reserved, state.lost), (thirty, Amount::ZERO, Amount::ZERO));
    }
}

/// Calls of a quarter that have reserved one.
async fn call(auth: Authenticator, admission: Admission, tally: Arc<Tally>) {
    let quarter = Amount::from_fractions(25_000_000);
    while !tally.is_over.load(Ordering::Relaxed) {
        let charge = auth.charge(&admission, CallDetails::default);
        let (charge, hold) = charge.expect("there is a meter");
        tally.calls.fetch_add(1, Ordering::Relaxed);
        match charge.reserve(Amount::from_units(1).expect("an amount")).await {
            Ok(Ok(())) => {
                charge.add(quarter);
                tally.counted.fetch_add(quarter.as_fractions(), Ordering::Relaxed);
                sleep(Duration::from_millis(5)).await;
            }
            Ok(Err(exhausted)) => panic!("there is enough: {exhausted:?}"),
            Err(_) => {
                tally.unanswered.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(50)).await;
            }
        }
        drop(hold);
    }
}
