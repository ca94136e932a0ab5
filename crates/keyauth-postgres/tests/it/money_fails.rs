//! Money and its record, of a database that does not do what it is asked to (F2).

use std::time::Duration;

use keyauth_core::{
    Amount, BatchId, Budget, BudgetState, BudgetWindow, ChargeId, ChargedBudget, Clock, Ledger,
    LedgerErrorKind, LimitedSubject, NewCharge, NewKey, OwnerId, Reserved, StoreErrorKind,
    SystemClock, TenantId, UsageBatch, UsageLog, WhenAbandoned,
};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use keyauth_postgres::sqlx::{self, Connection};
use keyauth_testkit::PostgresServer;

use super::usage::event;
use super::world::{World, execute};

const MINUTE: Duration = Duration::from_secs(60);

/// A budget of a thousand that has been charged nothing.
fn budget_of(owner: &str) -> ChargedBudget {
    let owner = OwnerId::new(owner).expect("an owner");
    let limit = Amount::from_units(1_000).expect("an amount");
    let budget = Budget::new(limit, BudgetWindow::Total);
    ChargedBudget { subject: LimitedSubject::Owner(TenantId::default(), owner), budget }
}

/// One unit of each.
fn charge(number: usize, budgets: &[ChargedBudget]) -> NewCharge {
    NewCharge {
        id: ChargeId::new(format!("charge-{number}")).expect("an id"),
        budgets: budgets.to_vec(),
        amount: one(),
        when_abandoned: WhenAbandoned::GivenBack,
    }
}

fn one() -> Amount {
    Amount::from_units(1).expect("an amount")
}

async fn states(ledger: &impl Ledger, budgets: &[ChargedBudget]) -> Vec<BudgetState> {
    ledger.states(budgets).await.expect("an answer")
}

#[tokio::test]
async fn a_charge_that_meets_another_in_a_deadlock_is_made_once() {
    let world = World::create().await;
    let budgets = ["ada", "bob"].map(budget_of);
    let known = world.store.reserve(&charge(0, &budgets), MINUTE).await.expect("an answer");
    assert!(matches!(known, Reserved::All(_)));
    // By hand, in the order that the store does not take: the last account, and then the first.
    let mut psql = world.psql().await;
    let lock = |order| {
        format!(
            "SELECT FROM keyauth.accounts WHERE id = (SELECT {order}(id) FROM keyauth.accounts) \
             FOR UPDATE"
        )
    };
    let lock_last = lock("max");
    execute(&mut psql, format!("SET deadlock_timeout = '1h'; BEGIN; {lock_last}")).await;
    // Ours looks whether it is in a deadlock once, and before it has waited for too long.
    let options: PgConnectOptions = world.database.url().parse().expect("a URL");
    let options = options.options([("deadlock_timeout", "1500ms")]);
    let pool = PgPoolOptions::new().connect_with(options).await.expect("a server");
    let store = PostgresStore::new(pool);
    let next = charge(1, &budgets);
    let reserving = tokio::spawn(async move { store.reserve(&next, MINUTE).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let count = async || -> i64 {
        let count = sqlx::query_scalar(waiting);
        count.fetch_one(world.store.pool()).await.expect("a count")
    };
    let waits = async {
        while count().await < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(MINUTE, waits).await.expect("it waits for a lock");
    let lock_first = lock("min");
    execute(&mut psql, format!("{lock_first}; COMMIT")).await;
    let reserved = reserving.await.expect("no panic").expect("an answer, the second time");
    assert!(matches!(reserved, Reserved::All(_)), "{reserved:?}");
    let deadlocks = async {
        loop {
            // Told with a delay.
            let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
            let count = sqlx::query_scalar(count).fetch_one(world.store.pool()).await;
            match count.expect("a count") {
                0_i64 => tokio::time::sleep(Duration::from_millis(50)).await,
                count => break count,
            }
        }
    };
    assert_eq!(tokio::time::timeout(MINUTE, deadlocks).await, Ok(1));
    for state in states(&world.store, &budgets).await {
        assert_eq!((state.used, state.reserved), (Amount::ZERO, one().saturating_add(one())));
    }
}

#[tokio::test]
async fn without_a_connection_there_is_no_answer_and_nothing_is_charged() {
    let world = World::create().await;
    let budgets = [budget_of("ada")];
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(100));
    let pool = pool.connect(world.database.url()).await.expect("a server");
    let held = pool.acquire().await.expect("the only connection");
    let store = PostgresStore::new(pool);
    let refused = store.reserve(&charge(0, &budgets), MINUTE).await.expect_err("no connection");
    assert_eq!(refused.kind(), LedgerErrorKind::Unavailable);
    let key = world.issue(NewKey::named("any")).await;
    let now = SystemClock::new().now();
    let id = BatchId::begun_at(now).expect("randomness");
    let batch = UsageBatch { id, events: vec![event(&key, now)] };
    let unwritten = store.write(&batch).await.expect_err("no connection");
    assert_eq!(*unwritten.kind(), StoreErrorKind::Unavailable);
    drop(held);
    assert_eq!(states(&store, &budgets).await[0].reserved, Amount::ZERO);
    store.reserve(&charge(0, &budgets), MINUTE).await.expect("an answer");
    store.settle(&charge(0, &budgets).id, one()).await.expect("settled");
    assert_eq!(states(&store, &budgets).await[0].used, one());
    assert_eq!(store.write(&batch).await.expect("written"), 0);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_does_nothing_by_halves() {
    let server = PostgresServer::start(&[]).await;
    let store = PostgresStore::connect(&server.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let key = keyauth_core::KeyStore::issue(&store, NewKey::named("any")).await.expect("a key");
    let now = SystemClock::new().now();
    let mut number = 0_u64;
    let mut next_batch = |events: usize| {
        number += 1;
        let at = now.saturating_add(Duration::from_micros(number));
        let id = BatchId::begun_at(now).expect("randomness");
        UsageBatch { id, events: vec![event(&key, at); events] }
    };
    assert_eq!(store.write(&next_batch(1)).await.expect("written"), 0);

    let disk = server.small_disk();
    let mut psql = sqlx::postgres::PgConnection::connect(&server.url()).await.expect("a server");
    execute(&mut psql, format!("CREATE TABLESPACE small LOCATION '{}'", disk.folder())).await;
    let move_all = "DO $$ DECLARE name regclass; BEGIN \
                    FOR name IN SELECT inhrelid::regclass FROM pg_inherits \
                    WHERE inhparent = 'keyauth.usage'::regclass LOOP \
                    EXECUTE format('ALTER TABLE %s SET TABLESPACE small', name); END LOOP; END $$; \
                    ALTER TABLE keyauth.charges SET TABLESPACE small";
    execute(&mut psql, move_all).await;
    disk.fill();

    // As far as the pages have room that there are.
    let budgets = [budget_of("ada"), budget_of("bob")];
    let mut reserved = 0;
    let failed = loop {
        match store.reserve(&charge(reserved, &budgets), MINUTE).await {
            Ok(outcome) => assert!(matches!(outcome, Reserved::All(_)), "{outcome:?}"),
            Err(error) => break error,
        }
        reserved += 1;
        assert!(reserved < 1_000, "the disk is not full");
    };
    assert_eq!(failed.kind(), LedgerErrorKind::Unavailable);
    let all = Amount::from_units(i64::try_from(reserved).expect("a count")).expect("an amount");
    for state in states(&store, &budgets).await {
        assert_eq!((state.used, state.reserved), (Amount::ZERO, all));
    }
    let large = next_batch(2_000);
    let unwritten = store.write(&large).await.expect_err("the disk is full");
    assert_eq!(*unwritten.kind(), StoreErrorKind::Unavailable, "it is not set aside");
    let count = async |statement: &'static str| -> i64 {
        sqlx::query_scalar(statement).fetch_one(store.pool()).await.expect("a count")
    };
    let sums = "SELECT sum(requests)::bigint FROM keyauth.usage_days";
    assert_eq!(count(sums).await, 1);

    disk.free();
    assert_eq!(store.write(&large).await.expect("written"), 0);
    assert_eq!(store.write(&large).await.expect("it was"), 0);
    assert_eq!(count("SELECT count(*) FROM keyauth.usage").await, 2_001);
    assert_eq!(count(sums).await, 2_001);
    store.reserve(&charge(reserved, &budgets), MINUTE).await.expect("an answer");
    for number in 0..=reserved {
        store.settle(&charge(number, &budgets).id, one()).await.expect("settled");
    }
    for state in states(&store, &budgets).await {
        assert_eq!((state.used, state.reserved), (all.saturating_add(one()), Amount::ZERO));
    }
}
