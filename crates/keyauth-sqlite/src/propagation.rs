//! Waiting until every instance has heard.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{KeyStore, Propagation, SilentInstance, StoreError, Subject};

use crate::SqliteStore;
use crate::transaction::LAST_CHANGE;

pub(crate) async fn wait(
    store: &SqliteStore,
    _: &Subject,
    timeout: Duration,
) -> Result<Propagation, StoreError> {
    // Changes are committed in the order of their numbers, so whoever has applied the last one
    // has applied all that are waited for.
    let last = sqlx::query_scalar(LAST_CHANGE).fetch_one(store.readers()).await;
    let last: i64 = last.map_err(StoreError::unavailable)?;
    let clock = Arc::clone(store.issuer().clock());
    let began = clock.uptime();
    loop {
        // Before asking: who is missing now was missing then.
        let waited = clock.uptime().saturating_sub(began);
        match Propagation::so_far(&missing(store, last).await?, waited, timeout) {
            ControlFlow::Break(propagation) => return Ok(propagation),
            ControlFlow::Continue(pause) => tokio::time::sleep(pause).await,
        }
    }
}

async fn missing(store: &SqliteStore, last: i64) -> Result<Vec<SilentInstance>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT name, max_staleness_ms + grace_ms FROM instances \
         WHERE applied IS NULL OR applied < ? ORDER BY name",
    )
    .bind(last)
    .fetch_all(store.readers())
    .await
    .map_err(StoreError::unavailable)?;
    let missing = rows.into_iter().map(|(name, serves)| SilentInstance {
        name: name.into(),
        serves: Duration::from_millis(u64::try_from(serves).unwrap_or(u64::MAX)),
    });
    Ok(missing.collect())
}
