//! Budgets, while clients hang up and instances are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::api::Issued;
use crate::fleet::Fleet;
use crate::report::Report;

/// Who charges at once.
const CHARGERS: usize = 48;
/// In hundredths.
const LIMIT: i64 = 5_000;
/// What nobody renews comes back after that.
const A_MINUTE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Tally {
    /// What was acknowledged, in hundredths.
    charged: AtomicI64,
    unknown: AtomicUsize,
    refused: AtomicUsize,
}

/// Charges by many who hang up in the middle, while an instance is killed.
pub(crate) async fn is_spent_once(report: &mut Report, fleet: &mut Fleet) {
    for mode in ["hard", "leased"] {
        let api = fleet.api();
        let budget = json!({"name": "all", "limit": "50.00", "window": "total", "mode": mode});
        let body = json!({"name": "spends", "budgets": [budget]});
        let key = api.issue(0, &body).await.expect("a key");
        let tally = Arc::new(Tally::default());
        let until = Instant::now() + Duration::from_secs(8);
        let mut chargers = JoinSet::new();
        for charger in 0..CHARGERS {
            let (api, key, tally) = (api.clone(), key.clone(), Arc::clone(&tally));
            chargers.spawn(async move {
                let mut round = charger;
                while Instant::now() < until {
                    round += CHARGERS;
                    charge(&api, round, &key, &tally).await;
                }
            });
        }
        sleep(Duration::from_secs(1)).await;
        fleet.instances[0].kill().await;
        let killed = Instant::now();
        sleep(Duration::from_millis(200)).await;
        fleet.instances[0].start().await;
        let mut above = 0;
        while let Some(ended) = chargers.join_next().await {
            ended.expect("no panic");
            let state = state(&api, &key).await;
            above = above.max(state.used + state.reserved - LIMIT);
        }
        let mut last = state(&api, &key).await;
        // And a moment, for whoever looks.
        let until = killed + A_MINUTE + Duration::from_secs(1);
        while last.reserved > 0 && Instant::now() < until {
            sleep(Duration::from_millis(250)).await;
            last = state(&api, &key).await;
        }
        let charged = tally.charged.load(Ordering::Relaxed);
        let unknown = tally.unknown.load(Ordering::Relaxed);
        let refused = tally.refused.load(Ordering::Relaxed);
        let hundredths = |amount: i64| format!("{}.{:02}", amount / 100, amount % 100);
        above = above.max(last.used + last.overrun - LIMIT).max(0);
        let figure = format!(
            "{} of 50.00: used {}, lost of it {}, acknowledged {}, {refused} refused, {unknown} \
             without an answer",
            hundredths(above),
            hundredths(last.used),
            hundredths(last.lost),
            hundredths(charged),
        );
        let promise = format!("spend above a {mode} budget, with cancels and kill -9");
        // What was acknowledged is in it, and it was tight.
        let holds = above == 0 && charged <= last.used && refused > 0;
        report.row(promise, figure, 0, holds);
        let figure = format!(
            "{} reserved, {:.0?} after the kill",
            hundredths(last.reserved),
            killed.elapsed()
        );
        fleet.forget_the_dead().await;
        let promise = format!("reserved of a {mode} budget and never given back");
        report.row(promise, figure, "0, a minute after the last renewal", last.reserved == 0);
    }
}

/// A charge of a hundredth to some, of which every fifth client does not wait for the answer.
async fn charge(api: &crate::api::Api, round: usize, key: &Issued, tally: &Tally) {
    let amount = i64::try_from(round % 7 + 1).unwrap_or(1);
    let body = json!({"key": key.secret, "charge": {"amount": format!("0.0{amount}")}});
    let asked = api.post(round % api.instances(), "/v1/keys/verify", &body);
    let patience =
        if round.is_multiple_of(5) { Duration::from_millis(4) } else { Duration::from_secs(15) };
    match timeout(patience, asked).await {
        Ok(Ok(decision)) if decision["allowed"] == true => {
            tally.charged.fetch_add(amount, Ordering::Relaxed);
        }
        Ok(Ok(_)) => {
            tally.refused.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Err(_)) | Err(_) => {
            tally.unknown.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// In hundredths.
struct State {
    used: i64,
    reserved: i64,
    lost: i64,
    overrun: i64,
}

async fn state(api: &crate::api::Api, key: &Issued) -> State {
    let path = format!("/v1/budgets?key={}", key.id);
    let states = loop {
        match api.get(1, &path).await {
            Ok(states) => break states,
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    };
    let first = states.as_array().map_or_else(|| &states["items"][0], |states| &states[0]);
    let hundredths = |value: &Value| {
        let text = value.as_str().expect("an amount");
        let (units, rest) = text.split_once('.').unwrap_or((text, "0"));
        let rest = format!("{rest:0<2}");
        let hundredths = rest[..2].parse::<i64>().expect("digits");
        units.parse::<i64>().expect("a number") * 100 + hundredths
    };
    State {
        used: hundredths(&first["used"]),
        reserved: hundredths(&first["reserved"]),
        lost: hundredths(&first["lost"]),
        overrun: hundredths(&first["overrun"]),
    }
}
