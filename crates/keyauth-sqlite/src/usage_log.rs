//! Writing the record of what was used.

use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::time::Duration;

use keyauth_core::{
    GroupId, KeyId, KeyStore, LimitUnit, LimitedSubject, LookupError, Period, StoreError,
    Timestamp, UsageBatch, UsageEvent, UsageLog, UsageQuery, UsageSums, UsageTotal,
};
use sqlx::sqlite::SqliteConnection;

use crate::SqliteStore;
use crate::keys::json;

/// A day in UTC, in microseconds.
const DAY: i64 = 86_400_000_000;
/// How long nobody sends a batch again, in microseconds.
const BATCHES_ARE_KNOWN_FOR: i64 = 30 * DAY;
/// More than that is nobody's count: sums of it stay exact.
const MOST: u64 = 1 << 40;
/// How long a request waits for what a limit begins with.
const SUMS_DEADLINE: Duration = Duration::from_secs(1);

impl UsageLog for SqliteStore {
    async fn write(&self, batch: &UsageBatch) -> Result<usize, StoreError> {
        let transaction = self.writer().begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = transaction.map_err(StoreError::unavailable)?;
        let set_aside = write(transaction.deref_mut(), batch, self.issuer().now()).await;
        let set_aside = set_aside.map_err(StoreError::unavailable)?;
        transaction.commit().await.map_err(StoreError::unavailable)?;
        Ok(set_aside)
    }

    async fn tidy(&self, keep_calls_for: Option<Duration>) -> Result<(), StoreError> {
        // A clock that has jumped ahead lets go of nothing, at least until the next batch.
        let last = sqlx::query_scalar("SELECT max(written_at) FROM usage_batches");
        let last: Option<i64> =
            last.fetch_one(self.readers()).await.map_err(StoreError::unavailable)?;
        let now = self.issuer().now().as_micros();
        let now = last.map_or(now, |last| now.min(last));
        sqlx::query("DELETE FROM usage_batches WHERE written_at < ?")
            .bind(now - BATCHES_ARE_KNOWN_FOR)
            .execute(self.writer())
            .await
            .map_err(StoreError::unavailable)?;
        let Some(keep) = keep_calls_for else { return Ok(()) };
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let since = now.saturating_sub(keep).div_euclid(DAY) * DAY;
        sqlx::query(
            "INSERT INTO usage_kept (one, since) \
             SELECT 1, ?1 WHERE EXISTS (SELECT 1 FROM usage WHERE at < ?1) \
             ON CONFLICT (one) DO UPDATE SET since = max(since, excluded.since)",
        )
        .bind(since)
        .execute(self.writer())
        .await
        .map_err(StoreError::unavailable)?;
        loop {
            // A few at a time: whoever else writes comes in between.
            let deleted = sqlx::query(
                "DELETE FROM usage WHERE rowid IN \
                 (SELECT rowid FROM usage WHERE at < ? ORDER BY at LIMIT 1000)",
            )
            .bind(since)
            .execute(self.writer())
            .await
            .map_err(StoreError::unavailable)?;
            if deleted.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}

impl UsageSums for SqliteStore {
    async fn used(
        &self,
        subject: &LimitedSubject,
        unit: LimitUnit,
        period: Period,
    ) -> Result<u64, LookupError> {
        let query = UsageQuery::total(subject.clone(), period);
        let lines = self.usage_within(self.sums(), &query, SUMS_DEADLINE);
        let lines = tokio::time::timeout(SUMS_DEADLINE, lines).await;
        let lines = lines.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)?;
        Ok(lines.first().map_or(0, |line| line.used.counted(unit)))
    }
}

/// Writes a batch. What the database refuses of it undoes nothing else, and is set aside.
async fn write(
    connection: &mut SqliteConnection,
    batch: &UsageBatch,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let new = sqlx::query("INSERT OR IGNORE INTO usage_batches (id, written_at) VALUES (?, ?)")
        .bind(batch.id.as_bytes().as_slice())
        .bind(now.as_micros())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    if new.rows_affected() == 0 {
        return Ok(0);
    }
    let mut set_aside = 0;
    // Added up here: others wait for the one connection that writes.
    let (mut days, mut last) = (BTreeMap::new(), BTreeMap::new());
    for (place, event) in batch.events.iter().enumerate() {
        match insert_call(connection, event).await {
            Ok(()) => {
                let day: &mut UsageTotal = days.entry(Day::of(event)).or_default();
                *day = day.saturating_add(&as_written(event));
                let last: &mut &UsageEvent = last.entry(event.key).or_insert(event);
                if last.at <= event.at {
                    *last = event;
                }
            }
            Err(error) if is_refused(&error) => {
                set_aside += 1;
                sqlx::query("INSERT INTO usage_set_aside VALUES (?, ?, ?, ?)")
                    .bind(batch.id.as_bytes().as_slice())
                    .bind(i64::try_from(place).unwrap_or(i64::MAX))
                    .bind(json(event)?)
                    .bind(error.to_string())
                    .execute(&mut *connection)
                    .await
                    .map_err(StoreError::unavailable)?;
            }
            Err(error) => return Err(StoreError::unavailable(error)),
        }
    }
    for (day, total) in days {
        add_to_day(connection, &day, &total).await.map_err(StoreError::unavailable)?;
    }
    for event in last.into_values() {
        note_use(connection, event).await.map_err(StoreError::unavailable)?;
    }
    Ok(set_aside)
}

/// A row of sums.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Day<'a> {
    key: KeyId,
    day: i64,
    tenant: &'a str,
    owner: &'a str,
    group: &'a str,
    route: &'a str,
    resource: &'a str,
}

impl<'a> Day<'a> {
    fn of(event: &'a UsageEvent) -> Self {
        Self {
            key: event.key,
            day: event.at.as_micros().div_euclid(DAY),
            tenant: event.tenant.as_str(),
            owner: event.owner.as_str(),
            group: event.group.as_ref().map_or("", GroupId::as_str),
            route: &event.route,
            resource: &event.resource,
        }
    }
}

async fn insert_call(
    connection: &mut SqliteConnection,
    event: &UsageEvent,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(event.at.as_micros())
        .bind(event.tenant.as_str())
        .bind(event.owner.as_str())
        .bind(event.group.as_ref().map_or("", GroupId::as_str))
        .bind(event.key.as_bytes().as_slice())
        .bind(&*event.route)
        .bind(&*event.resource)
        .bind(i64::from(event.status))
        .bind(event.cost.as_fractions())
        .bind(signed(event.limit_cost.min(MOST)))
        .bind(signed(event.input.min(MOST)))
        .bind(signed(event.output.min(MOST)))
        .bind(i64::try_from(event.duration.as_micros()).unwrap_or(i64::MAX))
        .bind(event.address.map(|address| address.to_string()))
        .execute(connection)
        .await
        .map(drop)
}

async fn add_to_day(
    connection: &mut SqliteConnection,
    day: &Day<'_>,
    total: &UsageTotal,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO usage_days VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (key_id, day, tenant, owner, group_id, route, resource) DO UPDATE SET \
         requests = requests + excluded.requests, failures = failures + excluded.failures, \
         cost = cost + excluded.cost, limit_cost = limit_cost + excluded.limit_cost, \
         input = input + excluded.input, output = output + excluded.output",
    )
    .bind(day.day)
    .bind(day.tenant)
    .bind(day.owner)
    .bind(day.group)
    .bind(day.key.as_bytes().as_slice())
    .bind(day.route)
    .bind(day.resource)
    .bind(signed(total.requests))
    .bind(signed(total.failures))
    .bind(total.cost.as_fractions())
    .bind(signed(total.limit_cost))
    .bind(signed(total.input))
    .bind(signed(total.output))
    .execute(connection)
    .await
    .map(drop)
}

async fn note_use(
    connection: &mut SqliteConnection,
    event: &UsageEvent,
) -> Result<(), sqlx::Error> {
    // To the minute, so that a busy key is not written with each batch.
    sqlx::query(
        "INSERT INTO key_usage (key_id, last_used_at, last_used_from) \
         SELECT id, ?, ? FROM keys WHERE id = ? \
         ON CONFLICT (key_id) DO UPDATE \
         SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from \
         WHERE excluded.last_used_at >= last_used_at + 60000000",
    )
    .bind(event.at.as_micros())
    .bind(event.address.map(|address| address.to_string()))
    .bind(event.key.as_bytes().as_slice())
    .execute(connection)
    .await
    .map(drop)
}

/// What the row of a call says.
fn as_written(event: &UsageEvent) -> UsageTotal {
    let UsageTotal { limit_cost, input, output, .. } = UsageTotal::from(event);
    UsageTotal {
        limit_cost: limit_cost.min(MOST),
        input: input.min(MOST),
        output: output.min(MOST),
        ..event.into()
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether the database does not take some value, now or later: `SQLITE_CONSTRAINT`,
/// `SQLITE_MISMATCH` and `SQLITE_TOOBIG` in the last byte of its codes.
fn is_refused(error: &sqlx::Error) -> bool {
    const REFUSED: [u32; 3] = [18, 19, 20];
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| REFUSED.contains(&(code & 0xff)))
}
