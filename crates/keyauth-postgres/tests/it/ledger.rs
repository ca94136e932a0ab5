//! Money, where the database is more than a ledger: its calendar, its operators, its rights.

use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetState, BudgetWindow, ChargeId, ChargedBudget, Issuer, Ledger,
    LedgerErrorKind, LimitedSubject, NewCharge, NewKey, OwnerId, Reserved, TenantId, TimeZone,
    Timestamp, WhenAbandoned,
};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx;

use super::world::{World, execute};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn units(units: i64) -> Amount {
    Amount::from_units(units).expect("an amount")
}

fn budget(window: BudgetWindow) -> ChargedBudget {
    let subject = LimitedSubject::Owner(TenantId::default(), OwnerId::default());
    ChargedBudget { subject, budget: Budget::new(units(10), window) }
}

/// Reserves, and says what becomes of it.
pub(crate) async fn reserve(
    ledger: &impl Ledger,
    budget: &ChargedBudget,
    amount: Amount,
) -> Option<ChargeId> {
    let key = Issuer::new().draft(NewKey::named("any")).expect("a key").key;
    let charge = NewCharge {
        id: ChargeId::new(key.id.to_string()).expect("an id"),
        budgets: vec![budget.clone()],
        amount,
        when_abandoned: WhenAbandoned::GivenBack,
    };
    match ledger.reserve(&charge, MINUTE).await.expect("an answer") {
        Reserved::All(_) => Some(charge.id),
        Reserved::Exhausted { .. } => None,
    }
}

async fn state(ledger: &impl Ledger, budget: &ChargedBudget) -> BudgetState {
    let states = ledger.states(std::slice::from_ref(budget)).await.expect("an answer");
    *states.first().expect("one")
}

/// Everything that a ledger is asked.
pub(crate) async fn charge_and_reset(ledger: &impl Ledger) {
    let budget = budget(BudgetWindow::Day);
    let charge = reserve(ledger, &budget, units(10)).await.expect("room");
    assert_eq!(reserve(ledger, &budget, units(1)).await, None);
    ledger.renew(std::slice::from_ref(&charge), MINUTE).await.expect("renewed");
    ledger.tidy().await.expect("tidied");
    ledger.settle(&charge, units(10)).await.expect("settled");
    ledger.give_back_lost(&budget).await.expect("nothing was");
    ledger.reset(&budget).await.expect("reset");
    assert_eq!(state(ledger, &budget).await.used, Amount::ZERO);
}

/// The calendar of the database is the one that limits have.
#[tokio::test]
async fn windows_are_those_of_core() {
    let world = World::create().await;
    let windows = [
        BudgetWindow::Total,
        BudgetWindow::Hours(7),
        BudgetWindow::Day,
        BudgetWindow::Week,
        BudgetWindow::Month,
    ];
    let mut seen = 0;
    for zone in
        ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
    {
        for window in windows {
            // Steps that meet every hour of a day, all the year round.
            for step in 0..120_i64 {
                let at = Timestamp::from_unix_seconds(1_767_225_600 + step * 3_600 * 73 + 17);
                let mut charged = budget(window);
                charged.budget.zone = TimeZone::named(zone).expect("a zone");
                let name = charged.account();
                let (start, end): (i64, Option<i64>) = sqlx::query_as(
                    "SELECT (extract(epoch FROM keyauth.window_start($1, $2, at)) * 1e6)::bigint, \
                     (extract(epoch FROM keyauth.window_end($1, $2, at)) * 1e6)::bigint \
                     FROM to_timestamp($3::bigint / 1000000) AS at",
                )
                .bind(name.period)
                .bind(name.zone)
                .bind(at.as_micros())
                .fetch_one(world.store.pool())
                .await
                .expect("a window");
                let found = (Timestamp::from_micros(start), end.map(Timestamp::from_micros));
                assert_eq!(found, charged.budget.window_from(at), "{zone} {window:?} {at:?}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 3_000);
}

/// Windows roll in whatever is asked after their end, and what is reserved stays so.
#[tokio::test]
async fn what_is_over_begins_anew() {
    let world = World::create().await;
    let ledger = &world.store;
    let budget = budget(BudgetWindow::Day);
    let spent = reserve(ledger, &budget, units(7)).await.expect("room");
    ledger.settle(&spent, units(7)).await.expect("settled");
    let running = reserve(ledger, &budget, units(3)).await.expect("room");
    assert_eq!(reserve(ledger, &budget, units(1)).await, None);
    world.run("UPDATE keyauth.accounts SET ends_at = now()").await;
    let begun = state(ledger, &budget).await;
    assert_eq!((begun.used, begun.reserved, begun.began_at), (Amount::ZERO, units(3), None));
    reserve(ledger, &budget, units(7)).await.expect("room");
    let settled = ledger.settle(&running, units(3)).await.expect("settled");
    assert_eq!((settled.charged, settled.overrun), (units(3), Amount::ZERO));
    let now = state(ledger, &budget).await;
    assert_eq!((now.used, now.reserved), (units(3), units(7)));
    assert!(now.ends_at.is_some());
}

/// Charging is told to nobody; of a budget's being reset whoever remembers it learns from the feed.
#[tokio::test]
async fn resetting_is_a_change_of_the_subject_and_charging_is_none() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    let told = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM keyauth.invalidations");
        count.fetch_one(world.store.pool()).await.expect("a count")
    };
    let tenant = TenantId::default();
    for subject in [
        LimitedSubject::Key(tenant.clone(), key.id()),
        LimitedSubject::Owner(tenant.clone(), OwnerId::default()),
        LimitedSubject::Tenant(tenant),
    ] {
        let budget = ChargedBudget { subject, ..budget(BudgetWindow::Total) };
        let before = told().await;
        let charge = reserve(&world.store, &budget, units(10)).await.expect("room");
        world.store.settle(&charge, units(10)).await.expect("settled");
        assert_eq!(told().await, before);
        world.store.reset(&budget).await.expect("reset");
        assert_eq!(told().await, before + 1);
        assert_eq!(state(&world.store, &budget).await.used, Amount::ZERO);
    }
}

/// What was closed long ago is forgotten, and what is reserved is not.
#[tokio::test]
async fn closed_charges_are_forgotten_after_a_day() {
    let world = World::create().await;
    let ledger: &PostgresStore = &world.store;
    let budget = budget(BudgetWindow::Total);
    let [closed, open] = [
        reserve(ledger, &budget, units(1)).await.expect("room"),
        reserve(ledger, &budget, units(1)).await.expect("room"),
    ];
    ledger.settle(&closed, units(1)).await.expect("settled");
    ledger.tidy().await.expect("tidied");
    ledger.settle(&closed, units(1)).await.expect("it is known");
    world.run("UPDATE keyauth.charges SET until = until - interval '23 hours' WHERE status = 'settled'").await;
    ledger.tidy().await.expect("tidied");
    ledger.settle(&closed, units(1)).await.expect("it is known");
    world.run("UPDATE keyauth.charges SET until = until - interval '2 hours' WHERE status = 'settled'").await;
    ledger.tidy().await.expect("tidied");
    ledger.settle(&closed, units(1)).await.expect_err("it is forgotten");
    ledger.settle(&open, units(1)).await.expect("settled");
    assert_eq!(state(ledger, &budget).await.used, units(2));
}

/// Plans are kept, and made where tables are small: they have to be right where they are large.
#[tokio::test]
async fn nothing_that_a_charge_does_reads_a_table_whole() {
    let world = World::create().await;
    let mut psql = world.psql().await;
    execute(
        &mut psql,
        "BEGIN; \
         CREATE FUNCTION pg_temp.reserve(id text, lasts interval) RETURNS text LANGUAGE sql AS $$ \
             SELECT outcome FROM keyauth.reserve_charge(id, '{\"\"}', '{owner ada}', '{monthly}', \
                 '{month}', '{UTC}', '{1000}', '{false}', 10, true, lasts) $$; \
         SELECT pg_temp.reserve('settled', '1 minute'), pg_temp.reserve('abandoned', '0'), \
             pg_temp.reserve('abandoned too', '0'); \
         SELECT keyauth.renew_charges('{settled}', '1 minute'); \
         SELECT keyauth.settle_charge('settled', 5); \
         SELECT keyauth.close_some_abandoned(); \
         SELECT pg_temp.reserve('abandoned again', '0'); \
         SELECT keyauth.budget_states('{\"\"}', '{owner ada}', '{monthly}', '{month}', '{UTC}'); \
         SELECT keyauth.book_charge('booked', '{\"\"}', '{owner ada}', '{monthly}', '{month}', \
             '{UTC}', '{1000}', '{false}', 10, true)",
    )
    .await;
    let [found, whole]: [i64; 2] = sqlx::query_scalar(
        "SELECT ARRAY[sum(idx_scan), sum(seq_scan)]::bigint[] FROM pg_stat_xact_user_tables \
         WHERE schemaname = 'keyauth' AND relname IN ('accounts', 'charges')",
    )
    .fetch_one(&mut psql)
    .await
    .map(|counts: Vec<i64>| counts.try_into().expect("two"))
    .expect("counted");
    assert!(found > 10, "only {found} by an index");
    assert_eq!(whole, 0, "{found} by an index, but {whole} without one");
}

/// A zone that the server does not know is an error of its own, which no retry mends; and a lock that
/// somebody holds keeps nobody for long.
#[tokio::test]
async fn what_cannot_be_done_says_so() {
    let world = World::create().await;
    let budget = budget(BudgetWindow::Day);
    let charge = reserve(&world.store, &budget, units(1)).await.expect("room");
    world.run("UPDATE keyauth.accounts SET zone = 'Nowhere/Atlantis', began_at = NULL").await;
    let error = world.store.settle(&charge, units(1)).await.expect_err("there is no such zone");
    assert_eq!(error.kind(), LedgerErrorKind::Invalid);
    let mut psql = world.psql().await;
    execute(&mut psql, "BEGIN; UPDATE keyauth.accounts SET zone = 'UTC'").await;
    let error = world.store.settle(&charge, units(1)).await.expect_err("it is locked");
    assert_eq!(error.kind(), LedgerErrorKind::Unavailable);
    execute(&mut psql, "COMMIT").await;
    world.store.settle(&charge, units(1)).await.expect("settled");
}
