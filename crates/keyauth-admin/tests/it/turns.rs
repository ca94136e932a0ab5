//! Who reads when.

use std::time::Duration;

use keyauth_core::{LimitedSubject, NewKey};
use tokio::time::{sleep, timeout};

use super::world::World;

const PATIENCE: Duration = Duration::from_secs(20);

/// One for each key, four in all; who goes away keeps the turn as long as the database is at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_read_at_once_and_nobody_twice() {
    let world = std::sync::Arc::new(World::new().await);
    let mut keys = Vec::new();
    for _ in 0..6 {
        keys.push(std::sync::Arc::new(world.issue(NewKey::named("one")).await));
    }
    world.reader.be_slow();
    let ask = |key: usize, path: &'static str| {
        let (world, key) = (world.clone(), keys[key].clone());
        tokio::spawn(async move { world.get(path, &key).await.status.as_u16() })
    };
    let greedy: Vec<_> = (0..5).map(|_| ask(0, "/usage")).collect();
    let reading = |count: usize| {
        let world = world.clone();
        async move {
            let come = async {
                while world.reader.reading().len() < count {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(PATIENCE, come).await.expect("they read");
            // As long as nobody comes besides.
            sleep(Duration::from_millis(100)).await;
            assert_eq!(world.reader.reading().len(), count);
        }
    };
    reading(1).await;
    let others: Vec<_> = (1..6).map(|key| ask(key, "/usage/calls")).collect();
    reading(4).await;
    let mut whose = world.reader.reading();
    whose.sort_unstable();
    whose.dedup();
    assert_eq!(whose.len(), 4, "each another's");
    let first = LimitedSubject::Key(keys[0].key().tenant.clone(), keys[0].id());
    assert!(whose.contains(&first));

    greedy.iter().chain(&others).for_each(|asking| asking.abort());
    let again: Vec<_> = (0..6).map(|key| ask(key, "/usage")).collect();
    reading(4).await;
    world.reader.be_whole();
    for answer in again {
        assert_eq!(answer.await.expect("no panic"), 200);
    }
}
