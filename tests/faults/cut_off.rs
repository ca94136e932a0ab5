//! F3, F4, F5: an instance that does not hear. It may serve what it has cached for as long as it has
//! said, and not longer.

use std::time::Duration;

use keyauth_core::{Clock, KeyStore, NewKey, SystemClock};
use keyauth_postgres::PostgresStore;
use keyauth_testkit::{FaultProxy, Way, Wire};
use keyauth_tests::Instance;
use keyauth_tests::history::{Bounds, Outcome};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fleet::Fleet;
use crate::outcomes::USUAL;
use crate::report::Report;
use crate::trial::{Trial, unknown_key};

/// How long an instance that is cut off serves what it has cached: `max_staleness`, and a minute.
const SERVES: Duration = Duration::from_secs(65);

/// The connection by which changes are heard is half open, on one side and then on the other.
pub(crate) async fn feed_is_half_open(report: &mut Report, fleet: &Fleet) {
    for (way, gone) in [(Way::ToServer, "the server"), (Way::ToClient, "the instance")] {
        let trial = Trial::begin(fleet).await;
        sleep(Duration::from_secs(1)).await;
        for instance in &fleet.instances {
            instance.feed.half_open(way);
        }
        sleep(Duration::from_secs(8)).await;
        let outcomes = trial.end().await;
        let name = format!("F3 listening connection half open, closed for {gone}");
        outcomes.check(report, &name, USUAL);
        let (not, of) = outcomes.steady_not_admitted();
        report.never(format!("{name}: good keys not let through"), not, of);
    }
}

/// One instance is cut off from PostgreSQL, while others revoke.
pub(crate) async fn one_is_cut_off(report: &mut Report, fleet: &Fleet, how_long: Duration) {
    let bounds = Bounds { behind: Some((0, SERVES)), ..USUAL };
    for wire in [Wire::Dead, Wire::Cut] {
        let trial = Trial::begin_changing(fleet, vec![1, 2], 2).await;
        // It has them cached, and is asked for them all the time.
        let keys = trial.watch(1, 12).await;
        let cut_off = &fleet.instances[0];
        cut_off.database.set_wire(wire);
        cut_off.feed.set_wire(wire);
        let cut = Instant::now();
        for (number, key) in keys.into_iter().enumerate() {
            sleep(how_long / 24).await;
            trial.revoke_watched(1 + number % 2, key).await;
        }
        let unseen = fleet.api().auth(0, &unknown_key()).await;
        assert_eq!(unseen, Outcome::Unanswered, "it is cut off");
        sleep(how_long.saturating_sub(cut.elapsed())).await;
        cut_off.feed.set_wire(Wire::Whole);
        cut_off.database.set_wire(Wire::Whole);
        fleet.wait_until_whole().await;
        // For revokes that all hear of again.
        sleep(Duration::from_secs(2)).await;
        let outcomes = trial.end().await;
        let name = format!("F4 one instance cut off for {how_long:?}, its wire {wire:?}");
        outcomes.check(report, &name, bounds);
        let (not, of) = outcomes.steady_not_admitted_at(|instance| instance != 0);
        report.never(format!("{name}: good keys not let through by the others"), not, of);
    }
}

/// How long an instance that is cut off goes on with one key that it has cached.
pub(crate) async fn serves_no_longer_than_it_may(report: &mut Report, fleet: &Fleet) {
    let api = fleet.api();
    let key = api.issue(1, &json!({"name": "revoked elsewhere"})).await.expect("a key");
    while !api.admits(0, &key.secret).await {
        sleep(Duration::from_millis(20)).await;
    }
    let cut_off = &fleet.instances[0];
    cut_off.database.set_wire(Wire::Dead);
    cut_off.feed.set_wire(Wire::Dead);
    // It is complete when the instance cannot be serving any more, whether it has heard or not.
    let waited = tokio::spawn({
        let (api, id) = (api.clone(), key.id.clone());
        async move { (api.revoke(2, &id, 100).await, Instant::now()) }
    });
    let revoke = format!("/v1/keys/{}/revoke", key.id);
    api.post(1, &revoke, &json!({})).await.expect("revoked");
    let acknowledged = Instant::now();
    let mut last = Duration::ZERO;
    while acknowledged.elapsed() < SERVES + Duration::from_secs(5) {
        let asked = acknowledged.elapsed();
        if api.admits(0, &key.secret).await {
            last = asked;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let (complete, returned) = waited.await.expect("no panic");
    assert!(complete.expect("revoked"), "whoever waits for long enough is told so");
    let after = returned.duration_since(acknowledged);
    let promise = "let through by an instance that is cut off, after a waiting revoke was complete";
    report.never(promise, usize::from(last > after), format!("waited {after:.1?}"));
    assert!(!api.admits(0, &key.secret).await, "nor ever after");
    cut_off.feed.set_wire(Wire::Whole);
    cut_off.database.set_wire(Wire::Whole);
    fleet.wait_until_whole().await;
    let name = "revoke to refusal, an instance cut off from the store alone, by default";
    report.row(name, format!("{last:.1?}"), "65 s", last <= SERVES && last > Duration::ZERO);
}

/// The same of one that is told to be strict: `max_staleness`, and nothing more.
pub(crate) async fn serves_no_longer_than_it_may_strictly(report: &mut Report, fleet: &Fleet) {
    let (url, clock) = (fleet.postgres.url(), SystemClock::new());
    let store = PostgresStore::connect(&url).await.expect("a server");
    let proxy = FaultProxy::to(&url).await;
    let (program, staleness) = (env!("CARGO_BIN_EXE_instance"), USUAL.staleness);
    let strict =
        Instance::start_with_grace(program, proxy.url(), "strict", staleness, Duration::ZERO);
    let mut strict = strict.await;
    let mut longest = Duration::ZERO;
    for wire in [Wire::Dead, Wire::Cut] {
        let key = store.issue(NewKey::named("revoked elsewhere")).await.expect("a key");
        strict.wait_for(key.reveal(), "admitted").await;
        strict.hammer(500, key.reveal()).await;
        sleep(Duration::from_millis(500)).await;
        proxy.set_wire(wire);
        store.revoke(&key).await.expect("revoked");
        let acknowledged = clock.uptime();
        sleep(staleness + Duration::from_secs(3)).await;
        let hammered = strict.hammered().await;
        longest = longest.max(hammered.last_admitted.saturating_sub(acknowledged));
        proxy.set_wire(Wire::Whole);
    }
    strict.end().await;
    // Where its connection was not there again yet, it could not say that it goes.
    fleet.forget_the_dead().await;
    let promise = "revoke to refusal, an instance cut off from the store alone, strict";
    let served = longest > Duration::ZERO;
    report.row(promise, format!("{longest:.1?}"), "5 s", longest <= staleness && served);
}

/// One instance is stopped for longer than it may serve without a poll, while keys that it has cached
/// are revoked; and is asked for them before it goes on.
pub(crate) async fn one_is_stopped(report: &mut Report, fleet: &Fleet, how_long: Duration) {
    const KEYS: usize = 20;
    let api = fleet.api();
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        let key = api.issue(1, &json!({"name": "revoked meanwhile"})).await.expect("a key");
        while !api.admits(0, &key.secret).await {
            sleep(Duration::from_millis(20)).await;
        }
        keys.push(key);
    }
    fleet.instances[0].process().signal("-STOP").await;
    for key in &keys {
        let revoke = format!("/v1/keys/{}/revoke", key.id);
        api.post(1, &revoke, &json!({})).await.expect("revoked");
    }
    sleep(how_long).await;
    // What waits for it is the first that it sees.
    let mut asking = JoinSet::new();
    for key in keys {
        let api = api.clone();
        asking.spawn(async move { api.auth(0, &key.secret).await });
    }
    sleep(Duration::from_millis(500)).await;
    fleet.instances[0].process().signal("-CONT").await;
    let answers = asking.join_all().await;
    let admitted = answers.iter().filter(|answer| **answer == Outcome::Admitted).count();
    let told = answers.iter().filter(|answer| **answer == Outcome::Refused).count();
    let name = format!("F5 an instance stopped for {how_long:?}: revoked keys let through");
    report.never(name, admitted, format!("{KEYS} keys, {told} of them known to be revoked"));
    assert!(told > 0, "it answers");
    fleet.wait_until_whole().await;
}

/// How long revoked keys are served elsewhere, with hints and without any.
pub(crate) async fn revokes_arrive(report: &mut Report, fleet: &Fleet, revokes: usize) {
    let api = fleet.api();
    let url = fleet.postgres.url();
    let hints = [
        ("hints alive: p99", "ENABLE ALWAYS", Duration::from_millis(50), revokes),
        ("every hint lost", "DISABLE", USUAL.staleness, revokes / 10 + 3),
    ];
    for (name, state, bound, revokes) in hints {
        let statement = format!("ALTER TABLE keyauth.invalidations {state} TRIGGER hint");
        crate::sql::execute(&url, &statement).await.expect("the database obeys");
        let (mut lags, mut own) = (Vec::new(), 0);
        for number in 0..revokes {
            let key = api.issue(0, &json!({"name": "revoked"})).await.expect("a key");
            for instance in 0..api.instances() {
                while !api.admits(instance, &key.secret).await {
                    sleep(Duration::from_millis(5)).await;
                }
            }
            let through = number % api.instances();
            let revoke = format!("/v1/keys/{}/revoke", key.id);
            api.post(through, &revoke, &json!({})).await.expect("revoked");
            let acknowledged = Instant::now();
            let others = (0..api.instances()).filter(|instance| *instance != through);
            let mut asking = JoinSet::new();
            for instance in others {
                let (api, secret) = (api.clone(), key.secret.clone());
                // The last that is let through began so long after it.
                asking.spawn(async move {
                    let mut last = Duration::ZERO;
                    loop {
                        let asked = acknowledged.elapsed();
                        match api.auth(instance, &secret).await {
                            Outcome::Refused => return last,
                            Outcome::Admitted => last = asked,
                            _ => {}
                        }
                    }
                });
            }
            own += usize::from(api.admits(through, &key.secret).await);
            lags.extend(asking.join_all().await);
        }
        lags.sort_unstable();
        let worst = lags.last().copied().unwrap_or_default();
        let p99 = lags[(lags.len() * 99).div_ceil(100) - 1];
        let lag = if state == "DISABLE" { worst } else { p99 };
        let figure = format!("{lag:.1?} ({} revokes, the longest {worst:.1?})", lags.len() / 2);
        let promise = format!("revoke to refusal, other instances, {name}");
        report.row(promise, figure, format!("{bound:?}"), lag <= bound);
        report.never("revoke to refusal, same process: let through afterwards", own, revokes);
    }
    crate::sql::execute(&url, "ALTER TABLE keyauth.invalidations ENABLE ALWAYS TRIGGER hint")
        .await
        .expect("the database obeys");
}
