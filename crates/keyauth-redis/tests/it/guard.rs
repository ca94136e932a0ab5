//! Failed attempts that several processes count together.

use std::time::Duration;

use keyauth_core::Guard;
use keyauth_ratelimit::FailedAttempts;
use keyauth_redis::RedisLimits;
use keyauth_testkit::RedisServers;
use tokio::time::{sleep, timeout};

use crate::world::{PATIENT, deadpool};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_failed_anywhere_is_held_up_everywhere() {
    let servers = RedisServers::start().await;
    let url = servers.urls().remove(0);
    let guards: [FailedAttempts; 3] = std::array::from_fn(|_| {
        let limits = RedisLimits::new(&deadpool(&url).with_timeout(PATIENT));
        FailedAttempts::new(4, Duration::from_secs(60)).shared_by(limits)
    });
    let held_up = async |guard: &FailedAttempts, client| {
        let held_up = async {
            while guard.held_up(client).is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, held_up).await.expect("held up");
    };
    // Two failures in each of two processes.
    for _ in 0..2 {
        for guard in &guards[..2] {
            assert_eq!(guard.held_up("client"), None);
            guard.failed("client");
        }
    }
    // Whoever counted the last one knows; the others when he tries there.
    let first = async {
        while guards.iter().all(|guard| guard.held_up("client").is_none()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, first).await.expect("held up");
    for guard in &guards {
        guard.failed("client");
        held_up(guard, "client").await;
        let wait = guard.held_up("client").expect("held up");
        assert!(wait > Duration::from_secs(30) && wait < Duration::from_secs(64), "{wait:?}");
        assert_eq!(guard.held_up("another"), None);
    }
    // While nobody can be asked each counts alone.
    servers.signal(0, "STOP");
    for _ in 0..4 {
        assert_eq!(guards[0].held_up("late"), None, "by nothing but this process's count");
        guards[0].failed("late");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(guards[0].held_up("late").is_some());
    assert_eq!(guards[1].held_up("late"), None);
    servers.signal(0, "CONT");
}
