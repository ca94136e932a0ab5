//! Whether it is well: for whoever starts, stops and asks servers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use keyauth_core::{Directory, TenantId};
use tokio::sync::watch;

/// How long the store may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);

type Asking = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What the answers stand on.
#[derive(Clone)]
pub(super) struct Health {
    /// Whether the store answers.
    ask: Arc<dyn Fn() -> Asking + Send + Sync>,
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
        Self { ask: Arc::new(ask), stopped }
    }
}

/// `/healthz`: it runs. `/readyz`: it is to be asked, since the store answers and it is not
/// stopping.
pub(super) fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if *health.stopped.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if (health.ask)().await {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
    }
}
