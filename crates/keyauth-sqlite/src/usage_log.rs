//! The record of what was used.

use std::ops::DerefMut;
use std::time::Duration;

use keyauth_core::{
    Amount, GroupId, KeyStore, LimitUnit, LimitedSubject, LookupError, Period, StoreError,
    Timestamp, UsageBatch, UsageEvent, UsageLog, UsageSums, UsageTotal,
};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use crate::SqliteStore;
use crate::keys::json;

/// A day in UTC, in microseconds.
const DAY: i64 = 86_400_000_000;
/// More than that is nobody's count: sums of it stay exact.
const MOST: u64 = 1 << 53;
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

    async fn total(&self, of: &LimitedSubject, period: Period) -> Result<UsageTotal, StoreError> {
        let Some(tenant) = of.tenant() else { return Ok(UsageTotal::default()) };
        // Each by an index of its own.
        let (filter, first, second) = match of {
            LimitedSubject::Key(_, key) => ("key_id = unhex(?6)", hex(key.as_bytes()), None),
            LimitedSubject::Member(_, group, owner) => {
                let group = Some(group.as_str().to_owned());
                ("owner = ?6 AND group_id = ?7", owner.as_str().to_owned(), group)
            }
            LimitedSubject::Owner(_, owner) => ("owner = ?6", owner.as_str().to_owned(), None),
            LimitedSubject::Group(_, group) => ("group_id = ?6", group.as_str().to_owned(), None),
            _ => ("?6 = ''", String::new(), None),
        };
        // Of whole days the sums, of parts of days the calls.
        let calls = format!(
            "SELECT 1, status = 0 OR status >= 500, cost, limit_cost, input, output FROM usage \
             WHERE tenant = ?5 AND {filter}"
        );
        let statement = format!(
            "SELECT coalesce(sum(requests), 0) AS requests, \
             coalesce(sum(failures), 0) AS failures, \
             CAST(coalesce(sum(cost), 0) AS INTEGER) AS cost, \
             CAST(coalesce(sum(limit_cost), 0) AS INTEGER) AS limit_cost, \
             CAST(coalesce(sum(input), 0) AS INTEGER) AS input, \
             CAST(coalesce(sum(output), 0) AS INTEGER) AS output FROM ( \
             SELECT requests, failures, cost, limit_cost, input, output FROM usage_days \
             WHERE tenant = ?5 AND {filter} AND day >= ?1 AND day < ?2 \
             UNION ALL {calls} AND at >= ?3 AND at < min(?4, ?1 * {DAY}) \
             UNION ALL {calls} AND at >= max(?3, ?2 * {DAY}, ?1 * {DAY}) AND at < ?4)"
        );
        let (from, to) = (within(period.start), within(period.end));
        let first_day = from.div_euclid(DAY) + i64::from(from.rem_euclid(DAY) > 0);
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(first_day)
            .bind(to.div_euclid(DAY).max(first_day))
            .bind(from)
            .bind(to)
            .bind(tenant.as_str())
            .bind(first)
            .bind(second)
            .fetch_one(self.readers())
            .await
            .map_err(StoreError::unavailable)?;
        total(&row).map_err(StoreError::unavailable)
    }
}

impl UsageSums for SqliteStore {
    async fn used(
        &self,
        subject: &LimitedSubject,
        unit: LimitUnit,
        period: Period,
    ) -> Result<u64, LookupError> {
        let total = tokio::time::timeout(SUMS_DEADLINE, self.total(subject, period)).await;
        let total = total.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)?;
        Ok(total.counted(unit))
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
    for (place, event) in batch.events.iter().enumerate() {
        match write_event(connection, event).await {
            Ok(()) => {}
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
    Ok(set_aside)
}

async fn write_event(
    connection: &mut SqliteConnection,
    event: &UsageEvent,
) -> Result<(), sqlx::Error> {
    let whole = |number: u64| i64::try_from(number.min(MOST)).unwrap_or(i64::MAX);
    let group = event.group.as_ref().map_or("", GroupId::as_str);
    let address = event.address.map(|address| address.to_string());
    sqlx::query("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(event.at.as_micros())
        .bind(event.tenant.as_str())
        .bind(event.owner.as_str())
        .bind(group)
        .bind(event.key.as_bytes().as_slice())
        .bind(&*event.route)
        .bind(&*event.resource)
        .bind(i64::from(event.status))
        .bind(event.cost.as_fractions())
        .bind(whole(event.limit_cost))
        .bind(whole(event.input))
        .bind(whole(event.output))
        .bind(i64::try_from(event.duration.as_micros()).unwrap_or(i64::MAX))
        .bind(&address)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO usage_days VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?) \
         ON CONFLICT (key_id, day, tenant, owner, group_id, route, resource) DO UPDATE SET \
         requests = requests + 1, failures = failures + excluded.failures, \
         cost = cost + excluded.cost, limit_cost = limit_cost + excluded.limit_cost, \
         input = input + excluded.input, output = output + excluded.output",
    )
    .bind(event.at.as_micros().div_euclid(DAY))
    .bind(event.tenant.as_str())
    .bind(event.owner.as_str())
    .bind(group)
    .bind(event.key.as_bytes().as_slice())
    .bind(&*event.route)
    .bind(&*event.resource)
    .bind(event.has_failed())
    .bind(event.cost.as_fractions())
    .bind(whole(event.limit_cost))
    .bind(whole(event.input))
    .bind(whole(event.output))
    .execute(&mut *connection)
    .await?;
    // To the minute, so that a busy key is not written with each call.
    sqlx::query(
        "INSERT INTO key_usage (key_id, last_used_at, last_used_from) \
         SELECT id, ?, ? FROM keys WHERE id = ? \
         ON CONFLICT (key_id) DO UPDATE \
         SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from \
         WHERE excluded.last_used_at >= last_used_at + 60000000",
    )
    .bind(event.at.as_micros())
    .bind(&address)
    .bind(event.key.as_bytes().as_slice())
    .execute(connection)
    .await
    .map(drop)
}

/// Whether the database does not take some value, now or later: `SQLITE_CONSTRAINT`,
/// `SQLITE_MISMATCH` and `SQLITE_TOOBIG` in the last byte of its codes.
fn is_refused(error: &sqlx::Error) -> bool {
    const REFUSED: [u32; 3] = [18, 19, 20];
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| REFUSED.contains(&(code & 0xff)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A time that its days can be reckoned of: up to the year 9999.
fn within(time: Timestamp) -> i64 {
    time.as_micros().clamp(0, 253_402_300_800_000_000)
}

fn total(row: &SqliteRow) -> Result<UsageTotal, sqlx::Error> {
    let count = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    Ok(UsageTotal {
        requests: count("requests")?,
        failures: count("failures")?,
        cost: Amount::from_fractions(row.try_get("cost")?),
        limit_cost: count("limit_cost")?,
        input: count("input")?,
        output: count("output")?,
    })
}
