//! Charges and records of use.

use std::path::Path;
use std::time::Duration;

use keyauth_core::{
    Amount, Authenticator, BatchId, Budget, BudgetMode, BudgetWindow, CallDetails, Clock, KeyRef,
    KeyStore, NewKey, OwnerId, RequestFacts, SystemClock, UsageBatch, UsageEvent, UsageLog,
};
use keyauth_metering::{LedgerMeter, UsageRecorder};
use keyauth_postgres::PostgresStore;
use keyauth_testkit::PostgresDatabase;

use crate::bench::{Bench, at_once, timed};
use crate::by_hand::ledger::Ledger;
use crate::report::{Bound, Row};
use crate::rounds::Rounds;

/// How many requests are under way at once.
const CALLERS: usize = 16;
const CHARGES: usize = 1_024;
const EVENTS: usize = 20_000;
/// As many as the recorder writes at once, at most.
const BATCH: usize = 2_000;
/// How many calls end before others have their turn.
const PACE: usize = 500;

async fn start() -> (PostgresDatabase, PostgresStore) {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    (database, store)
}

/// Reserved, and settled by what it came to, until all of it is on the books.
pub(crate) fn hard_charge(bench: &Bench) -> Result<Row, String> {
    let (database, store, by_hand) = bench.block_on(async {
        let (database, store) = start().await;
        let by_hand = Ledger::new(store.pool().clone()).await;
        (database, store, by_hand)
    });
    let rounds = Rounds::run(
        bench.rounds(16),
        [&mut || bench.block_on(charge(store.clone())), &mut || {
            let by_hand = by_hand.clone();
            bench.block_on(at_once(CALLERS, CHARGES, move |_| {
                let by_hand = by_hand.clone();
                async move { by_hand.charge(10, 5).await }
            }))
        }],
    );
    bench.block_on(async move { drop(database) });
    let what = "a charge to one hard budget, reserved and settled, 16 at once; two statements by \
                hand";
    Ok(Row::of(what, &rounds, Bound::AtMost(1.5)))
}

async fn charge(store: PostgresStore) -> Duration {
    let limit = Amount::from_units(1_000_000).expect("an amount");
    let budget = Budget::new(limit, BudgetWindow::Total).in_mode(BudgetMode::Hard);
    let key = store.issue(NewKey::named("charged").budget(budget)).await.expect("a key");
    let meter = LedgerMeter::new(store.clone());
    let (auth, background) = Authenticator::new(store).with_meter(meter).start();
    let verified = auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer");
    let admission = verified.expect("admitted");
    let call = move |_| {
        let (auth, admission) = (auth.clone(), admission.clone());
        async move {
            let opened = auth.charge(&admission, CallDetails::default);
            let (charge, _hold) = opened.expect("there is a meter");
            let reserved = charge.reserve(Amount::from_fractions(10)).await;
            reserved.expect("an answer").expect("room");
            charge.add(Amount::from_fractions(5));
        }
    };
    let charged = async {
        at_once(CALLERS, CHARGES, call).await;
        // Which settles the rest.
        background.shutdown().await;
    };
    timed(charged).await.1 / u32::try_from(CHARGES).expect("a count")
}

pub(crate) fn usage_writer(bench: &Bench) -> Result<Row, String> {
    let (database, store) = bench.block_on(start());
    let folder = tempfile::tempdir().expect("a folder");
    let event = bench.block_on({
        let store = store.clone();
        async move {
            let key = store.issue(NewKey::named("used")).await.expect("a key");
            event(&KeyRef::from(&key))
        }
    });
    let rounds = Rounds::run(
        bench.rounds(16),
        [
            &mut || {
                let (store, event) = (store.clone(), event.clone());
                let spool = folder.path().join("spool");
                bench.block_on(async move { timed(recorded(store, &spool, event)).await.1 })
                    / u32::try_from(EVENTS).expect("a count")
            },
            &mut || {
                let (store, event) = (store.clone(), event.clone());
                bench.block_on(async move { timed(written(store, event)).await.1 })
                    / u32::try_from(EVENTS).expect("a count")
            },
        ],
    );
    bench.block_on(async move { drop(database) });
    let what = "an event of usage, recorded, spooled and written to PostgreSQL in batches; the \
                same statement without a queue";
    Ok(Row::of(what, &rounds, Bound::AtMost(1.2)))
}

async fn recorded(store: PostgresStore, spool: &Path, event: UsageEvent) {
    let recorder = UsageRecorder::spooled(store, spool).expect("a spool");
    let background = recorder.start();
    for number in 0..EVENTS {
        recorder.record(event.clone());
        // Not more at once than the queue takes.
        if number % PACE == 0 {
            tokio::task::yield_now().await;
        }
    }
    recorder.flush().await.expect("written");
    background.shutdown().await;
    assert_eq!(recorder.lost(), 0);
}

async fn written(store: PostgresStore, event: UsageEvent) {
    for _ in 0..EVENTS / BATCH {
        let id = BatchId::begun_at(SystemClock::new().now()).expect("randomness");
        let batch = UsageBatch { id, events: vec![event.clone(); BATCH] };
        store.write(&batch).await.expect("written");
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
