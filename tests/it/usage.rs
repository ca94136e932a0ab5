//! What calls leave in the record of usage, over HTTP and on one file.

use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use keyauth_admin::OwnUsage;
use keyauth_core::{
    Amount, Authenticator, Budget, BudgetWindow, Clock, KeyRef, KeyStore, Ledger, Limit, LimitUnit,
    LimitedSubject, NewKey, Period, SystemClock, Timestamp, UsageReader, UsageSums, UsageTotal,
};
use keyauth_metering::{LedgerMeter, UsageRecorder};
use keyauth_postgres::PostgresStore;
use keyauth_ratelimit::FleetLimiter;
use keyauth_redis::deadpool_redis::{Config, Runtime};
use keyauth_redis::{Redis, RedisLimits};
use keyauth_sqlite::SqliteStore;
use keyauth_testkit::{PostgresDatabase, RedisServers};
use keyauth_tests::World;
use keyauth_tower::{Charge, ClientAddress, KeyAuthLayer, RequireScope};

fn units(units: i64) -> Amount {
    Amount::from_units(units).expect("an amount")
}

async fn complete(charge: Charge) -> &'static str {
    charge.uses("small-model");
    charge.add_input(7);
    charge.add_output(5);
    charge.set(units(2));
    "done"
}

/// Requests, rows and money agree; and what is refused is recorded as that, of a key that is known.
#[tokio::test]
async fn what_was_called_is_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("keys.db")).await.expect("a file");
    let recorder = UsageRecorder::spooled(store.clone(), folder.path().join("spool"));
    let recorder = recorder.expect("a spool");
    let meter = LedgerMeter::new(store.clone()).recording(&recorder);
    let (auth, background) = Authenticator::new(store.clone()).with_meter(meter).start();
    let layer = KeyAuthLayer::new(auth)
        .with_client_address(ClientAddress::peer())
        .with_price(|head| match head.original_path() {
            path if path.starts_with("/chat") => units(3),
            _ => Amount::ZERO,
        })
        .with_cost(|_| 4);
    let app = Router::new()
        .route("/chat/{model}", any(complete))
        .route("/closed", get(|| async {}).layer(RequireScope::new("nobody:has")))
        .nest("/usage", OwnUsage::new(recorder.clone()).with_ledger(store.clone()).into_router())
        .fallback(any(|| async { "nothing" }));
    let world = World::default();
    let site = world.serve(app.layer(layer)).await;
    let ten = Budget::new(units(10), BudgetWindow::Total);
    let key = store.issue(NewKey::named("any").budget(ten)).await.expect("a key");
    let bearer = format!("Authorization: Bearer {}", key.reveal());
    for (method, path, status) in [
        ("GET", "/chat/small", 200),
        ("POST", "/chat/small", 200),
        ("BREW", "/chat/other", 200),
        ("GET", "/nowhere/to/be/found", 200),
        ("GET", "/closed", 403),
        ("GET", "/chat/small", 200),
        ("GET", "/chat/small", 429),
    ] {
        let answer = site.call(method, path, &[&bearer]).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    assert_eq!(site.get("/chat/small", &[]).await.status, 401, "of nobody nothing is recorded");
    // M7: who has spent all may read on what, exactly and at once.
    let own = async |path| -> serde_json::Value {
        let answer = site.get(path, &[&bearer]).await;
        serde_json::from_str(&answer.body).expect("JSON")
    };
    let used = own("/usage?by=route").await;
    assert_eq!((&used["total"]["requests"], &used["total"]["cost"]), (&7.into(), &"8".into()));
    assert_eq!(used["lines"].as_array().map(Vec::len), Some(5), "{used}");
    // What was spent is settled behind the requests' backs.
    let charged = || keyauth_core::ChargedBudget {
        subject: LimitedSubject::Key(key.key().tenant.clone(), key.id()),
        budget: Budget::new(units(10), BudgetWindow::Total),
    };
    let at_rest = async {
        while store.states(&[charged()]).await.expect("an answer")[0].reserved != Amount::ZERO {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), at_rest).await.expect("it is settled");
    let budget = &own("/usage").await["budgets"][0];
    assert_eq!((&budget["used"], &budget["remaining"]), (&"8".into(), &"2".into()), "{budget}");
    recorder.flush().await.expect("written");
    let KeyRef { tenant, id } = KeyRef::from(&key);
    let of = LimitedSubject::Key(tenant.clone(), id);
    let now = SystemClock::new().now();
    let start = Timestamp::from_micros(now.as_micros() - 3_600_000_000);
    let hour = Period { start, end: Timestamp::from_micros(now.as_micros() + 1_000_000) };
    let total = store.total(&of, hour).await.expect("a total");
    let expected = UsageTotal {
        requests: 9,
        failures: 0,
        cost: units(8),
        limit_cost: 36,
        input: 28,
        output: 20,
    };
    assert_eq!(total, expected);
    // And the ledger says the same.
    background.shutdown().await;
    let verified = store.key(&KeyRef::from(&key)).await.expect("the key");
    let budgets = verified.applied_budgets(&[], &[], &[]);
    let budget =
        keyauth_core::ChargedBudget { subject: of.clone(), budget: budgets[0].budget.clone() };
    let states = store.states(std::slice::from_ref(&budget)).await.expect("an answer");
    assert_eq!(states[0].used, total.cost);
    assert!(verified.last_use.is_some_and(|last| last.at > start && last.at < hour.end));
    // What a limit of this key begins with, where its count was lost (L12).
    let used = store.used(&of, LimitUnit::Requests, hour).await.expect("a sum");
    assert_eq!(used, 9);

    let file = folder.path().join("keys.db");
    let pool = sqlx::SqlitePool::connect(file.to_str().expect("a path")).await.expect("the file");
    let rows: Vec<(String, String, i64, String)> =
        sqlx::query_as("SELECT route, resource, status, address FROM usage ORDER BY at")
            .fetch_all(&pool)
            .await
            .expect("rows");
    let rows: Vec<_> = rows
        .iter()
        .map(|(route, resource, status, address)| {
            assert_eq!(address, "127.0.0.1");
            (route.as_str(), resource.as_str(), *status)
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("GET /chat/{model}", "small-model", 200),
            ("POST /chat/{model}", "small-model", 200),
            // Neither methods nor paths that a client has made up.
            ("OTHER /chat/{model}", "small-model", 200),
            ("", "", 200),
            ("GET /closed", "", 403),
            ("GET /chat/{model}", "small-model", 200),
            ("GET /chat/{model}", "", 429),
            ("GET /usage", "", 200),
            ("GET /usage", "", 200),
        ]
    );
}

/// L12: who has used up a day or a month stays so when Redis forgets all, since what was recorded says
/// so. Whole and leased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_outlives_redis() {
    let (database, servers) = (PostgresDatabase::create().await, RedisServers::start().await);
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let world = World::default();
    for leased in [false, true] {
        let pool = Config::from_url(servers.urls().remove(0)).create_pool(Some(Runtime::Tokio1));
        let redis = Redis::from(pool.expect("a pool")).with_timeout(Duration::from_secs(5));
        let limiter = FleetLimiter::new(RedisLimits::new(&redis)).with_usage_sums(store.clone());
        let limiter = if leased { limiter.leased() } else { limiter };
        let recorder = UsageRecorder::in_memory(store.clone());
        let meter = LedgerMeter::new(store.clone()).recording(&recorder);
        let auth = Authenticator::new(store.clone()).with_limiter(limiter).with_meter(meter);
        let (auth, background) = auth.start();
        let app = Router::new().fallback(get(|| async {})).layer(KeyAuthLayer::new(auth));
        let site = world.serve(app).await;
        for limit in [Limit::per_day(6), Limit::per_month(6)] {
            let key = store.issue(NewKey::named("limited").limit(limit)).await.expect("a key");
            let bearer = format!("Authorization: Bearer {}", key.reveal());
            let mut passed = 0;
            for call in 0..12 {
                if call % 4 == 3 {
                    recorder.flush().await.expect("written");
                    assert_eq!(servers.ask(0, &["FLUSHALL"]), "OK");
                }
                let status = site.get("/", &[&bearer]).await.status;
                assert!([200, 429].contains(&status), "{status}");
                passed += usize::from(status == 200);
            }
            match leased {
                // What an instance holds of a lease when Redis forgets it is not used.
                true => assert!((1..=6).contains(&passed), "{passed}"),
                false => assert_eq!(passed, 6),
            }
        }
        background.shutdown().await;
    }
}
