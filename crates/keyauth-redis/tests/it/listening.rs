//! Subscriptions that break, freeze, or are taken for others.

use std::time::Duration;

use keyauth_core::{Change, ChangeObserver, Hints};
use keyauth_redis::{Redis, RedisHints};
use keyauth_testkit::RedisServers;
use tokio::time::timeout;

use crate::world::{PATIENT, clients, deadpool, fred};

/// Longer than a ping that fails and a new subscription take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The hints of one instance by each client.
async fn both(servers: &RedisServers) -> [(&'static str, RedisHints); 2] {
    let url = servers.urls().remove(0);
    let deadpool = deadpool(&url).with_timeout(PATIENT);
    let client = fred(&url).await;
    let fred = Redis::from(client.clone()).with_timeout(PATIENT);
    [
        ("deadpool", RedisHints::over_clients(&deadpool, clients(&servers.urls()))),
        ("fred", RedisHints::over_fred(&fred, &client)),
    ]
}

/// Takes the signs there are, until there is none for a while.
async fn quiet(hints: &RedisHints) {
    while timeout(Duration::from_millis(300), hints.receive()).await.is_ok() {}
}

/// Gives signs until one is heard that somebody else gives.
async fn wait_until_it_hears(client: &str, hints: &RedisHints, servers: &RedisServers) {
    let hearing = async {
        loop {
            quiet(hints).await;
            let heard = servers.ask(0, &["PUBLISH", "keyauth:changes", ""]);
            if heard != "0" && timeout(Duration::from_secs(1), hints.receive()).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, hearing).await.unwrap_or_else(|_| panic!("{client} is deaf"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_breaks_is_made_again() {
    let servers = RedisServers::start().await;
    for (client, hints) in both(&servers).await {
        wait_until_it_hears(client, &hints, &servers).await;
        let killed = servers.ask(0, &["CLIENT", "KILL", "TYPE", "pubsub"]);
        assert_eq!(killed, "1", "{client}");
        // That it listens again is a sign, since one may have been lost.
        timeout(PATIENCE, hints.receive()).await.unwrap_or_else(|_| panic!("{client} is deaf"));
        wait_until_it_hears(client, &hints, &servers).await;
        servers.signal(0, "KILL");
        servers.restart(0).await;
        wait_until_it_hears(client, &hints, &servers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_froze_is_heard_again() {
    let servers = RedisServers::start().await;
    let both = both(&servers).await;
    for (client, hints) in &both {
        wait_until_it_hears(client, hints, &servers).await;
    }
    servers.signal(0, "STOP");
    // Longer than until the next ping, and the time it has.
    tokio::time::sleep(Duration::from_secs(8)).await;
    servers.signal(0, "CONT");
    for (client, hints) in &both {
        wait_until_it_hears(client, hints, &servers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_announced_without_waiting_and_together() {
    let servers = RedisServers::start().await;
    for (client, hints) in both(&servers).await {
        wait_until_it_hears(client, &hints, &servers).await;
        quiet(&hints).await;
        let published = || -> u32 {
            let stats = servers.ask(0, &["INFO", "commandstats"]);
            let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_publish:calls="));
            line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
        };
        let before = published();
        for _ in 0..1_000 {
            ChangeObserver::changed(&hints, &[Change::NewSecrets]);
        }
        timeout(PATIENCE, hints.receive()).await.unwrap_or_else(|_| panic!("{client} is deaf"));
        quiet(&hints).await;
        let count = published() - before;
        assert!((1..=100).contains(&count), "{client}: {count} messages for 1 000 changes");
        // Nobody waits where Redis is away, and nothing is kept for later.
        servers.signal(0, "STOP");
        for _ in 0..1_000 {
            ChangeObserver::changed(&hints, &[Change::NewSecrets]);
        }
        servers.signal(0, "CONT");
    }
}
