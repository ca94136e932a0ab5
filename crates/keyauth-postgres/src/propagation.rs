//! Waiting until every instance has heard.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Propagation, StoreError, Subject};

use crate::PostgresStore;
use crate::change::columns;

/// How often instances are asked for, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// An instance that has not said that it applied the changes.
struct Missing {
    name: Arc<str>,
    /// How long after a change it may still be serving what was before.
    serves: Duration,
}

pub(crate) async fn wait(
    store: &PostgresStore,
    subject: &Subject,
    timeout: Duration,
) -> Result<Propagation, StoreError> {
    // Everything that is waited for was committed before this.
    let clock = Arc::clone(store.issuer_clock());
    let began = clock.uptime();
    let mut pause = FIRST_PAUSE;
    loop {
        // Before asking: what is missing now was missing then.
        let waited = clock.uptime().saturating_sub(began);
        let missing = missing(store, subject).await?;
        let Some(longest) = missing.iter().map(|missing| missing.serves).max() else {
            return Ok(Propagation::Acknowledged);
        };
        let names = || missing.iter().map(|missing| Arc::clone(&missing.name)).collect();
        // Clocks of two machines do not go equally fast.
        let needed = longest.saturating_add(longest / 10);
        if waited >= needed {
            return Ok(Propagation::Elapsed { missing: names() });
        }
        if waited >= timeout {
            return Ok(Propagation::TimedOut { missing: names() });
        }
        let left = needed.min(timeout).saturating_sub(waited);
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// The instances that have not acknowledged all changes of a subject that are visible now. A
/// change of many subjects stands for those in it.
async fn missing(store: &PostgresStore, subject: &Subject) -> Result<Vec<Missing>, StoreError> {
    let statement = store.schema().sql(
        "SELECT n.name, n.max_staleness_ms + n.grace_ms FROM keyauth.instances AS n \
         WHERE n.applied IS NULL OR EXISTS ( \
         SELECT FROM keyauth.invalidations AS i \
         WHERE i.xid >= pg_snapshot_xmin(n.applied) AND NOT pg_visible_in_snapshot(i.xid, n.applied) \
         AND (i.kind IN ('everything', 'tenant') \
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
    let missing = rows.into_iter().map(|(name, serves)| Missing {
        name: name.into(),
        serves: Duration::from_millis(u64::try_from(serves).unwrap_or(u64::MAX)),
    });
    Ok(missing.collect())
}
