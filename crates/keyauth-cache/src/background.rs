//! Reading the feed.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyauth_core::{ChangeFeed, FeedReader, LookupError};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::inner::{Inner, Leased};
use crate::{hints, observe};

/// The least time between two polls, however many hints there are: they come to all instances
/// at once, so each waits for up to as long again.
const LEAST_PAUSE: Duration = Duration::from_millis(10);
/// How long after a poll that failed the first one is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// A feed has deadlines of its own; these are for one that has forgotten.
const POLL_DEADLINE: Duration = Duration::from_secs(30);
const ACKNOWLEDGE_DEADLINE: Duration = Duration::from_secs(2);
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);

/// Polls until it is told to stop, or the cache is gone.
pub(crate) async fn run<L: ChangeFeed + 'static>(
    cache: Weak<Inner<L>>,
    mut reader: L::Reader,
    stop: oneshot::Receiver<()>,
) {
    {
        let polling = pin!(poll_on(&cache, &mut reader));
        tokio::select! {
            () = polling => {}
            // That nobody waits for the end any more is no reason to end.
            Ok(()) = stop => {}
        }
    }
    // Before anybody stops waiting for this instance.
    if let Some(cache) = cache.upgrade() {
        cache.lease.give_back();
        observe::lease(false);
    }
    let _ = timeout(LEAVE_DEADLINE, reader.leave()).await;
}

async fn poll_on<L: ChangeFeed + 'static>(cache: &Weak<Inner<L>>, reader: &mut L::Reader) {
    let mut failures: u32 = 0;
    let hints = cache.upgrade().and_then(|cache| cache.hints.clone());
    while let Some(cache) = cache.upgrade() {
        let interval = jittered(cache.options.poll_interval);
        match poll(&cache, reader).await {
            Ok(leased) => {
                if failures > 0 {
                    observe::poll_recovered();
                }
                failures = 0;
                cache.tidy();
                drop(cache);
                let pause = LEAST_PAUSE + LEAST_PAUSE * random_per_mille() / 1_000;
                sleep(pause).await;
                if leased == Leased::Yes {
                    let hint = async {
                        tokio::select! {
                            () = reader.hint() => {}
                            () = hints::receive(hints.as_ref()) => {}
                        }
                    };
                    let _ = timeout(interval.saturating_sub(pause), hint).await;
                }
            }
            Err(error) => {
                observe::poll_failed(&error, cache.lease.holds(cache.uptime()), failures == 0);
                drop(cache);
                let pause = RETRY_PAUSE * 2_u32.saturating_pow(failures.min(16));
                failures = failures.saturating_add(1);
                sleep(pause.min(interval)).await;
            }
        }
    }
}

async fn poll<L: ChangeFeed + 'static>(
    cache: &Arc<Inner<L>>,
    reader: &mut L::Reader,
) -> Result<Leased, LookupError> {
    let sent = cache.uptime();
    let page = timeout(POLL_DEADLINE, reader.poll()).await;
    let page = page.map_err(LookupError::unavailable).flatten()?;
    let leased = cache.apply_page(&page, sent);
    observe::polled(cache.lease.holds(cache.uptime()), cache.marks.count());
    // Those who wait can do without: the lease tells them when to stop waiting.
    let acknowledged = timeout(ACKNOWLEDGE_DEADLINE, reader.acknowledge()).await;
    if let Err(error) = acknowledged.map_err(LookupError::unavailable).flatten() {
        tracing::debug!(%error, "changes were applied, but that could not be acknowledged");
    }
    Ok(leased)
}

/// A little more or less, so that many instances do not poll together.
fn jittered(interval: Duration) -> Duration {
    interval * (900 + random_per_mille() / 5) / 1_000
}

fn random_per_mille() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    u32::try_from(RandomState::new().hash_one(()) % 1_001).unwrap_or_default()
}
