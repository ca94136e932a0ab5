//! Limits that instances count together, at their edge; and F8, with a clock of Redis that jumps.

use std::path::Path;
use std::time::Duration;

use keyauth_testkit::{Passed, RedisServers};
use keyauth_tests::history::Outcome;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::fleet::Fleet;
use crate::report::{Report, say};

/// How many requests each instance has under way.
const AT_ONCE: usize = 64;
const SECOND: i64 = 1_000_000;

/// How long each waits between two requests, where Redis did not answer in time to those who waited
/// for less: a machine that is too busy for that has no counter, and its instances go on by their
/// shares of the limit, which is another promise.
const PAUSES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(10), Duration::from_millis(40)];

/// Asks with one key for so long, each instance so often at once. Gives what was let through.
async fn ask_for(
    api: &Api,
    secret: &str,
    how_long: Duration,
    at_once: usize,
    pause: Duration,
) -> Vec<Passed> {
    let began = Instant::now();
    let mut askers = JoinSet::new();
    for asker in 0..at_once * api.instances() {
        let (api, secret) = (api.clone(), secret.to_owned());
        askers.spawn(async move {
            let mut passed = Vec::new();
            let now = || i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
            while began.elapsed() < how_long {
                let start = now();
                match api.auth(asker % api.instances(), &secret).await {
                    Outcome::Admitted => passed.push(Passed::between(start, now())),
                    Outcome::Unanswered => sleep(Duration::from_millis(50)).await,
                    _ => {}
                }
                sleep(pause).await;
            }
            passed
        });
    }
    let mut passed = Vec::new();
    while let Some(part) = askers.join_next().await {
        passed.extend(part.expect("no panic"));
    }
    passed
}

/// Of four instances, each with 64 requests under way, no more than a limit allows get through in
/// any window of its length.
pub(crate) async fn hold(report: &mut Report, fleet: &mut Fleet) {
    fleet.add(&[]).await;
    let api = fleet.api();
    // The first is asked of Redis for each request, and the second is leased.
    for (kind, count, window, length) in
        [("window", 200, "1s", SECOND), ("leased", 2_000, "10s", 10 * SECOND)]
    {
        let limit = json!({"name": "tight", "count": count, "window": window});
        let body = json!({"name": "limited", "limits": [limit]});
        let how_long = Duration::from_micros(length.unsigned_abs()) + Duration::from_secs(6);
        let (mut passed, mut paused) = (Vec::new(), Duration::ZERO);
        for pause in PAUSES {
            let key = api.issue(0, &body).await.expect("a key");
            let before = unanswered(fleet);
            passed = ask_for(&api, &key.secret, how_long, AT_ONCE, pause).await;
            paused = pause;
            if unanswered(fleet) == before {
                break;
            }
            say(&format!("  with {pause:?} between two requests Redis is too late: once more"));
            sleep(Duration::from_secs(2)).await;
        }
        let most = Passed::most_in_any(&passed, length);
        // Whatever the time of each was: of all windows that there can have been.
        let passed_in_all = u64::try_from(passed.len()).unwrap_or(u64::MAX);
        let windows = how_long.as_secs() / (length / SECOND).unsigned_abs() + 2;
        let above = most.saturating_sub(count).max(passed_in_all.saturating_sub(count * windows));
        let figure = format!(
            "{above}: of {count} in {window} at most {most}, {passed_in_all} let through by {} \
             instances, {paused:?} between two requests",
            api.instances(),
        );
        if above > 0 {
            fleet.instances.iter().for_each(|instance| say(&instance.log()));
        }
        let promise = format!("admissions above a shared {kind} limit");
        report.row(promise, figure, 0, above == 0 && most >= count / 2);
    }
    assert!(fleet.instances.pop().expect("it was added").terminate().await);
}

/// How often instances said that Redis gave no answer.
fn unanswered(fleet: &Fleet) -> usize {
    let logs = fleet.instances.iter().map(crate::fleet::Instance::log);
    logs.map(|log| log.matches("shared limits give no answer").count()).sum()
}

/// F8: the clock of Redis jumps an hour forward, and back.
pub(crate) async fn hold_when_the_clock_of_redis_jumps(report: &mut Report, library: &Path) {
    let redis = RedisServers::start_with_clock(library).await;
    let fleet = Fleet::start_over(2, redis).await;
    let api = fleet.api();
    let limit = json!({"name": "tight", "count": 200, "window": "10s"});
    let key = api.issue(0, &json!({"name": "limited", "limits": [limit]})).await.expect("a key");
    // Few, so that answers are in time; and jumps that no window has two of.
    let asking = ask_for(&api, &key.secret, Duration::from_secs(50), 8, PAUSES[0]);
    let turning = async {
        let time = || fleet.redis.ask(0, &["TIME"]).lines().next().and_then(|s| s.parse().ok());
        for offset in [3_600_i64, 0] {
            sleep(Duration::from_secs(18)).await;
            let before: Option<i64> = time();
            fleet.redis.turn_clock(offset);
            sleep(Duration::from_secs(1)).await;
            let jumped = time().zip(before).map_or(0, |(after, before)| after - before);
            assert!(jumped.abs() > 3_000, "{jumped} s: the scenario has shown nothing");
        }
    };
    let (passed, ()) = tokio::join!(asking, turning);
    let most = Passed::most_in_any(&passed, 10 * SECOND);
    // One further count, as docs/limits.md says.
    let figure = format!("{most} of 200 in 10 s, of {} let through", passed.len());
    let promise = "F8 Redis's clock an hour forward and back: in the window in which it jumps";
    report.row(promise, figure, "400, the limit once more", most <= 400 && passed.len() >= 200);
}
