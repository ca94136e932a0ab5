//! Signs of changes, from instance to instance.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyauth_core::{Change, ChangeObserver, Hints};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::link::{BoxError, Command, Subscribe, Subscription};
use crate::redis::Redis;

/// How long subscribing may take.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a subscription is asked whether it is still there, and how long it may take to say.
const PING: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How soon it is tried again, and how often at the least.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(5);

/// Hints over Redis, for [`CachedLookup::with_hints`][with]: an empty message on the channel
/// `<prefix>:changes` after each change that is made through the store's own calls, upon which
/// every instance polls.
///
/// PostgreSQL gives hints of its own by `LISTEN`; these are for where that does not come
/// through. Without any, changes arrive with the next poll, within a second. It subscribes by a
/// connection of its own when it is first listened to, and again whenever that is lost.
///
/// [with]: https://docs.rs/keyauth-cache/latest/keyauth_cache/struct.CachedLookup.html#method.with_hints
pub struct RedisHints {
    redis: Redis,
    channel: Arc<str>,
    source: Arc<dyn Subscribe>,
    signals: Arc<Signals>,
    publishing: Task,
    listening: Task,
}

#[derive(Debug, Default)]
struct Signals {
    changed: Notify,
    heard: Notify,
}

impl RedisHints {
    pub(crate) fn over(redis: &Redis, source: impl Subscribe + 'static) -> Self {
        Self {
            redis: redis.clone(),
            channel: format!("{}:changes", redis.prefix()).into(),
            source: Arc::new(source),
            signals: Arc::default(),
            publishing: Task::default(),
            listening: Task::default(),
        }
    }
}

impl ChangeObserver for RedisHints {
    fn changed(&self, _: &[Change]) {
        // Changes that come while one is being published are published together.
        self.signals.changed.notify_one();
        self.publishing.ensure(|| {
            let (redis, channel) = (self.redis.clone(), Arc::clone(&self.channel));
            publish(redis, channel, Arc::clone(&self.signals))
        });
    }
}

impl Hints for RedisHints {
    async fn receive(&self) {
        self.listening.ensure(|| {
            let (source, channel) = (Arc::clone(&self.source), Arc::clone(&self.channel));
            listen(source, channel, Arc::clone(&self.signals))
        });
        self.signals.heard.notified().await;
    }
}

async fn publish(redis: Redis, channel: Arc<str>, signals: Arc<Signals>) {
    let channel = channel.as_bytes();
    loop {
        signals.changed.notified().await;
        let publish = Command { name: "PUBLISH", key: channel, arguments: &[channel, b""] };
        if let Err(error) = redis.call(publish).await {
            let source = std::error::Error::source(&error).map(tracing::field::display);
            tracing::debug!(source, "no hint could be given; others notice with their next poll");
        }
    }
}

async fn listen(source: Arc<dyn Subscribe>, channel: Arc<str>, signals: Arc<Signals>) {
    let mut pause = FIRST_RETRY;
    loop {
        let subscribed = timeout(SUBSCRIBE_TIMEOUT, source.subscribe(&channel)).await;
        match subscribed.map_err(BoxError::from).flatten() {
            Ok(mut subscription) => {
                tracing::debug!("listening to hints");
                pause = FIRST_RETRY;
                // One may have been given while nobody was listening.
                signals.heard.notify_one();
                while let Heard::Something = next(&mut *subscription).await {
                    signals.heard.notify_one();
                }
                tracing::debug!("hints are no longer heard; subscribing again");
            }
            Err(error) => tracing::debug!(%error, "no hints are heard; changes arrive with polls"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(SELDOM);
    }
}

/// What has come of listening.
enum Heard {
    Something,
    /// The subscription is lost.
    Nothing,
}

async fn next(subscription: &mut dyn Subscription) -> Heard {
    loop {
        match timeout(PING, subscription.next()).await {
            Ok(Some(())) => return Heard::Something,
            Ok(None) => return Heard::Nothing,
            Err(_) => match timeout(PING_TIMEOUT, subscription.ping()).await {
                Ok(Ok(())) => {}
                // Half-open, or the server is frozen.
                _ => return Heard::Nothing,
            },
        }
    }
}

/// A task that is begun when it is first needed, and again where its runtime has ended.
#[derive(Debug, Default)]
struct Task(Mutex<Option<JoinHandle<()>>>);

impl Task {
    fn ensure<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce() -> F) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_none_or(JoinHandle::is_finished) {
            *running = Some(tokio::spawn(task()));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let running = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running {
            running.abort();
        }
    }
}

impl Debug for RedisHints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisHints").field("channel", &self.channel).finish_non_exhaustive()
    }
}
