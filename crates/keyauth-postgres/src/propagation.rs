//! Waiting until every instance has heard.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Propagation, SilentInstance, StoreError, Subject};

use crate::PostgresStore;
use crate::change::columns;

pub(crate) async fn wait(
    store: &PostgresStore,
    subject: &Subject,
    timeout: Duration,
) -> Result<Propagation, StoreError> {
    // Everything that is waited for was committed before this.
    let clock = Arc::clone(store.issuer_clock());
    let began = clock.uptime();
    loop {
        // Before asking: who is missing now was missing then.
        let waited = clock.uptime().saturating_sub(began);
        match Propagation::so_far(&missing(store, subject).await?, waited, timeout) {
            ControlFlow::Break(propagation) => return Ok(propagation),
            ControlFlow::Continue(pause) => tokio::time::sleep(pause).await,
        }
    }
}

/// The instances that have not acknowledged all changes of a subject that are visible now. A
/// change of many subjects stands for those in it, and a tenant for all that is in it, but for
/// secrets, whose keys are told of too.
async fn missing(
    store: &PostgresStore,
    subject: &Subject,
) -> Result<Vec<SilentInstance>, StoreError> {
    let statement = store.schema().sql(
        "SELECT n.name, n.max_staleness_ms + n.grace_ms FROM keyauth.instances AS n \
         WHERE n.applied IS NULL OR EXISTS ( \
         SELECT FROM keyauth.invalidations AS i \
         WHERE i.xid >= pg_snapshot_xmin(n.applied) AND NOT pg_visible_in_snapshot(i.xid, n.applied) \
         AND (i.kind IN ('everything', 'tenant') OR $1 = 'everything' \
         OR $1 = 'tenant' AND i.tenant = $2 \
         OR i.kind = $1 AND i.subject = $3 AND ($2::text IS NULL OR i.tenant = $2))) \
         ORDER BY n.name",
    );
    let (kind, tenant, name) = columns(subject);
    let rows: Vec<(String, i64)> = sqlx::query_as(statement)
        .bind(kind)
        .bind(tenant)
        .bind(name)
        .fetch_all(store.pool())
        .await
        .map_err(StoreError::unavailable)?;
    let missing = rows.into_iter().map(|(name, serves)| SilentInstance {
        name: name.into(),
        serves: Duration::from_millis(u64::try_from(serves).unwrap_or(u64::MAX)),
    });
    Ok(missing.collect())
}
