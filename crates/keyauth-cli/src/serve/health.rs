//! Whether it is well: for whoever starts, stops and asks servers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use keyauth_core::{Clock, Directory, SystemClock, TenantId};
use tokio::sync::{Mutex, watch};

/// How long the store may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long its answer is good for all who ask: anybody may, as often as he likes, and the store has
/// others to answer.
const FRESH: Duration = Duration::from_secs(1);
/// How long it may have been away: as long as what is cached is served without it.
const GRACE: Duration = Duration::from_secs(60);

type Asking = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What the answers stand on.
#[derive(Clone)]
pub(super) struct Health {
    /// Whether the store answers.
    ask: Arc<dyn Fn() -> Asking + Send + Sync>,
    clock: Arc<dyn Clock>,
    /// When it last did, by the clock's uptime in milliseconds.
    answered: Arc<AtomicU64>,
    /// When it was last asked, and whether it answered. Held by whoever asks it for all who wait.
    asked: Arc<Mutex<Option<(u64, bool)>>>,
    stopped: watch::Receiver<bool>,
}

impl Health {
    pub(super) fn new(
        store: impl Directory + Clone + 'static,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let ask = move || -> Asking {
            let store = store.clone();
            Box::pin(async move {
                let tenant = TenantId::default();
                let asked = tokio::time::timeout(DEADLINE, store.tenant(&tenant));
                matches!(asked.await, Ok(Ok(_)))
            })
        };
        Self::asking(ask, Arc::new(SystemClock::new()), stopped)
    }

    fn asking(
        ask: impl Fn() -> Asking + Send + Sync + 'static,
        clock: Arc<dyn Clock>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        // It has answered when it was opened.
        let answered = Arc::new(AtomicU64::new(millis(&*clock)));
        Self { ask: Arc::new(ask), clock, answered, asked: Arc::default(), stopped }
    }
}

impl Health {
    /// Whether the store does, now or a moment ago.
    async fn answers(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((at, answers)) = *asked {
            let ago = millis(&*self.clock).saturating_sub(at);
            if Duration::from_millis(ago) < FRESH {
                return answers;
            }
        }
        let answers = (self.ask)().await;
        let now = millis(&*self.clock);
        *asked = Some((now, answers));
        if answers {
            self.answered.fetch_max(now, Ordering::Relaxed);
        }
        answers
    }
}

fn millis(clock: &dyn Clock) -> u64 {
    clock.uptime().as_millis().try_into().unwrap_or(u64::MAX)
}

/// `/healthz`: it runs. `/readyz`: it is to be asked, since the store answers, or has done so not
/// long ago, and it is not stopping. All instances of a fleet lose their store at once: if they were
/// all taken out then, nobody would be served what they have cached.
pub(super) fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(health)
}

/// Goes on asking, so that whoever asks for the first time is told how it stands.
pub(super) async fn keep_asking(health: Health) {
    let mut stopped = health.stopped.clone();
    let asking = async {
        let mut ticks = tokio::time::interval(GRACE / 6);
        loop {
            ticks.tick().await;
            health.answers().await;
        }
    };
    let stopped = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    tokio::select! {
        () = asking => {}
        () = stopped => {}
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if *health.stopped.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if health.answers().await {
        (StatusCode::OK, "ready\n")
    } else {
        let answered = health.answered.load(Ordering::Relaxed);
        let away = millis(&*health.clock).saturating_sub(answered);
        let ready = Duration::from_millis(away) < GRACE;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, "the database does not answer\n")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use keyauth_testkit::FakeClock;

    use super::*;

    #[tokio::test]
    async fn who_serves_what_is_cached_is_ready() {
        let clock = Arc::new(FakeClock::default());
        let answers = Arc::new(AtomicBool::new(true));
        let (stop, stopped) = watch::channel(false);
        let store = Arc::clone(&answers);
        let ask = move || -> Asking { Box::pin(std::future::ready(store.load(Ordering::Relaxed))) };
        let health = Health::asking(ask, Arc::clone(&clock) as Arc<dyn Clock>, stopped);
        let is_ready = || async { ready(State(health.clone())).await.0.is_success() };
        assert!(is_ready().await);
        answers.store(false, Ordering::Relaxed);
        clock.advance(Duration::from_secs(59));
        assert!(is_ready().await, "what is cached is served");
        clock.advance(Duration::from_secs(1));
        assert!(!is_ready().await, "and no longer");
        answers.store(true, Ordering::Relaxed);
        clock.advance(FRESH);
        assert!(is_ready().await);
        stop.send_replace(true);
        assert!(!is_ready().await);
    }

    #[tokio::test]
    async fn however_many_ask_the_store_is_asked_once_a_second() {
        let clock = Arc::new(FakeClock::default());
        let asked = Arc::new(AtomicU64::new(0));
        let (_stop, stopped) = watch::channel(false);
        let count = Arc::clone(&asked);
        let ask = move || -> Asking {
            let count = Arc::clone(&count);
            Box::pin(async move {
                tokio::task::yield_now().await;
                count.fetch_add(1, Ordering::Relaxed);
                true
            })
        };
        let health = Health::asking(ask, Arc::clone(&clock) as Arc<dyn Clock>, stopped);
        for second in 1..=3 {
            let asking = (0..100).map(|_| ready(State(health.clone())));
            let answers = futures_util::future::join_all(asking).await;
            assert!(answers.iter().all(|(status, _)| status.is_success()));
            assert_eq!(asked.load(Ordering::Relaxed), second);
            clock.advance(FRESH);
        }
    }
}
