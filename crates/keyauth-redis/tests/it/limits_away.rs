//! Limits that a fleet counts in Redis, while it is away: as configured, and never open by accident
//! (L5, F1).

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Limit, Limited};
use keyauth_ratelimit::{FleetLimiter, WhenAway};
use keyauth_redis::{Redis, RedisLimits};
use keyauth_testkit::RedisServers;
use keyauth_testkit::conformance::limiter::limited_key;
use tokio::time::{sleep, timeout};

use crate::limits::{ask, both, passing};
use crate::world::{deadpool, fred_connecting};

const PATIENCE: Duration = Duration::from_secs(20);

type Limits = FleetLimiter<RedisLimits>;

fn in_all_modes(redis: Redis) -> [Limits; 3] {
    // Long enough for a machine that does much else.
    let limits = RedisLimits::new(&redis.with_timeout(Duration::from_millis(300)));
    let with = |when_away| FleetLimiter::new(limits.clone()).when_away(when_away);
    [WhenAway::Closed, WhenAway::LocalShare, WhenAway::OpenWithoutLimits].map(with)
}

/// What each mode says of a limit of five while there is no answer.
async fn hold_as_configured([closed, share, open]: [&Limits; 3], limited: &Limited, what: &str) {
    for _ in 0..5 {
        assert_eq!(ask(closed, limited).await, None, "{what}");
    }
    assert_eq!(passing(share, limited, 20).await, 5, "{what}");
    assert_eq!(passing(open, limited, 20).await, 20, "{what}");
}

async fn wait_until_back(closed: &Limits, what: &str) {
    let any = limited_key([Limit::per_hour(1_000)]);
    let back = async {
        while ask(closed, &any).await.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, back).await.unwrap_or_else(|_| panic!("{what}: not back"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_what_was_configured_holds_and_nothing_else() {
    let servers = RedisServers::start().await;
    // Each of these makes it give no answer, and ends.
    let faults: [(&[&str], &[&str]); 4] = [
        (&["STOP"], &["CONT"]),
        (&["KILL"], &[]),
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]),
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
    ];
    for (client, redis) in both(&servers).await {
        let [closed, share, open] = in_all_modes(redis);
        for (begin, end) in faults {
            let limited = limited_key([Limit::per_hour(5)]);
            wait_until_back(&closed, client).await;
            assert_eq!(ask(&closed, &limited).await, Some(true), "{client}");
            match begin {
                [signal] => servers.signal(0, signal),
                command => assert_eq!(servers.ask(0, command), "OK"),
            }
            let fresh = limited_key([Limit::per_hour(5)]);
            for limited in [&limited, &fresh] {
                let what = format!("{client}, {begin:?}");
                hold_as_configured([&closed, &share, &open], limited, &what).await;
            }
            match (begin, end) {
                (_, [signal]) => servers.signal(0, signal),
                (_, []) => servers.restart(0).await,
                (_, command) => assert_eq!(servers.ask(0, command), "OK"),
            }
            // By itself, and by the count from before where that was not lost. What was sent to
            // a frozen server is counted when it goes on, though nobody has heard of it.
            wait_until_back(&closed, client).await;
            let lost = usize::from(end.is_empty());
            let passed = passing(&share, &limited, 20).await;
            let most = 4 + lost;
            let frozen = begin == ["STOP"];
            assert!(passed <= most && (frozen || passed == most), "{client}, {begin:?}: {passed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_there_late_or_slow_is_used_when_it_answers() {
    let servers = Arc::new(RedisServers::start().await);
    let url = servers.urls().remove(0);
    for client in ["deadpool", "fred"] {
        servers.signal(0, "KILL");
        let redis = match client {
            "deadpool" => deadpool(&url),
            _ => Redis::from(fred_connecting(&url)),
        };
        let [closed, share, open] = in_all_modes(redis);
        let limited = limited_key([Limit::per_hour(5)]);
        let what = format!("{client}, not there");
        hold_as_configured([&closed, &share, &open], &limited, &what).await;
        servers.restart(0).await;
        wait_until_back(&closed, &what).await;
        assert_eq!(passing(&closed, &limited, 9).await, 5, "{what}: nothing was counted");
        // Each answer takes two seconds, as far as anybody can tell.
        let busy = tokio::task::spawn_blocking({
            let servers = Arc::clone(&servers);
            let busy = "local function now() return redis.call('TIME')[1] + 0 end \
                        local from = now() while now() < from + 5 do end return 'done'";
            move || servers.ask(0, &["EVAL", busy, "0"])
        });
        let what = format!("{client}, slow");
        let limited = limited_key([Limit::per_hour(5)]);
        let slow = async { while ask(&closed, &limited).await.is_some() {} };
        timeout(PATIENCE, slow).await.unwrap_or_else(|_| panic!("{what}: it is not"));
        hold_as_configured([&closed, &share, &open], &limited, &what).await;
        assert_eq!(busy.await.expect("no panic"), "done", "{what}");
        wait_until_back(&closed, &what).await;
    }
}
