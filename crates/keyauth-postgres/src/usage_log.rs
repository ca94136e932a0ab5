//! The record of what was used: `migrations/0005_usage.sql` has what is done with it.

use std::time::Duration;

use keyauth_core::{
    Amount, BatchId, GroupId, LimitUnit, LimitedSubject, LookupError, Period, StoreError,
    Timestamp, UsageBatch, UsageEvent, UsageLog, UsageSums, UsageTotal,
};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Uuid;
use sqlx::{Connection, Row};

use crate::PostgresStore;
use crate::keys::uuid;
use crate::schema::Schema;
use crate::transaction::{ATTEMPTS, is_transient};

/// How long a request waits for what a limit begins with.
const SUMS_DEADLINE: Duration = Duration::from_secs(1);

impl UsageLog for PostgresStore {
    async fn write(&self, batch: &UsageBatch) -> Result<usize, StoreError> {
        let mut attempt = 1;
        loop {
            let mut connection = self.pool().acquire().await.map_err(StoreError::unavailable)?;
            match write_batch(&mut connection, self.schema(), batch.id, &batch.events).await {
                Err(error) if attempt < ATTEMPTS && is_transient(&error) => attempt += 1,
                Err(error) if is_refused(&error) => {
                    let set_aside = write_one_by_one(&mut connection, self.schema(), batch).await;
                    return set_aside.map_err(StoreError::unavailable);
                }
                outcome => return outcome.map(|()| 0).map_err(StoreError::unavailable),
            }
        }
    }

    async fn total(&self, of: &LimitedSubject, period: Period) -> Result<UsageTotal, StoreError> {
        let Some(tenant) = of.tenant() else { return Ok(UsageTotal::default()) };
        let (owner, group, key) = match of {
            LimitedSubject::Key(_, key) => (None, None, Some(uuid(*key))),
            LimitedSubject::Member(_, group, owner) => (Some(owner), Some(group), None),
            LimitedSubject::Owner(_, owner) => (Some(owner), None, None),
            LimitedSubject::Group(_, group) => (None, Some(group), None),
            _ => (None, None, None),
        };
        let statement = self.schema().sql(
            "SELECT requests, failures, cost::text, limit_cost::text, input::text, output::text \
             FROM keyauth.total_usage($1, $2, $3, $4, $5, $6)",
        );
        let row = sqlx::query(statement)
            .bind(tenant.as_str())
            .bind(owner.map(|owner| owner.as_str()))
            .bind(group.map(GroupId::as_str))
            .bind(key)
            .bind(period.start.as_micros())
            .bind(period.end.as_micros())
            .fetch_one(self.pool())
            .await
            .map_err(StoreError::unavailable)?;
        total(&row).map_err(StoreError::unavailable)
    }
}

impl UsageSums for PostgresStore {
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

/// Writes events as a batch of this name, in one statement.
async fn write_batch(
    connection: &mut PgConnection,
    schema: &Schema,
    id: BatchId,
    events: &[UsageEvent],
) -> Result<(), sqlx::Error> {
    fn column<T>(events: &[UsageEvent], value: impl Fn(&UsageEvent) -> T) -> Vec<T> {
        events.iter().map(value).collect()
    }
    let statement = schema.sql(
        "SELECT keyauth.write_usage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15)",
    );
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let group = |event: &UsageEvent| event.group.as_ref().map_or("", GroupId::as_str).to_owned();
    sqlx::query(statement)
        .bind(Uuid::from_bytes(*id.as_bytes()))
        .bind(column(events, |event| event.at.as_micros()))
        .bind(column(events, |event| event.tenant.as_str().to_owned()))
        .bind(column(events, |event| event.owner.as_str().to_owned()))
        .bind(column(events, group))
        .bind(column(events, |event| uuid(event.key)))
        .bind(column(events, |event| event.route.to_string()))
        .bind(column(events, |event| event.resource.to_string()))
        .bind(column(events, |event| i32::from(event.status)))
        .bind(column(events, |event| event.cost.as_fractions()))
        .bind(column(events, |event| whole(event.limit_cost)))
        .bind(column(events, |event| whole(event.input)))
        .bind(column(events, |event| whole(event.output)))
        .bind(column(events, |event| micros(event.duration)))
        .bind(column(events, |event| event.address.map(|address| address.to_string())))
        .execute(connection)
        .await
        .map(drop)
}

/// Writes a batch of which the database refuses something: what it refuses is set aside. In one
/// transaction, so that the batch is there as a whole or not at all.
async fn write_one_by_one(
    connection: &mut PgConnection,
    schema: &Schema,
    batch: &UsageBatch,
) -> Result<usize, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let new = schema.sql(
        "SELECT keyauth.write_usage($1, '{}', '{}', '{}', '{}', '{}', '{}', \
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    );
    let new = sqlx::query_scalar(new).bind(Uuid::from_bytes(*batch.id.as_bytes()));
    if !new.fetch_one(&mut *transaction).await? {
        return Ok(0);
    }
    let mut set_aside = 0;
    let mut slices = vec![(0, batch.events.as_slice())];
    while let Some((at, events)) = slices.pop() {
        let mut savepoint = transaction.begin().await?;
        // A name of no matter: the whole batch's is what tells it from others.
        let id = BatchId::begun_at(batch_time(batch)).map_err(sqlx::Error::Io)?;
        let error = match write_batch(&mut savepoint, schema, id, events).await {
            Ok(()) => {
                savepoint.commit().await?;
                continue;
            }
            Err(error) if is_refused(&error) => error,
            Err(error) => return Err(error),
        };
        savepoint.rollback().await?;
        let (first, second) = events.split_at(events.len() / 2);
        if let ([], [event]) = (first, second) {
            let reason = error.to_string().replace('\0', "");
            let statement = schema.sql("SELECT keyauth.set_usage_aside($1, $2, $3, $4)");
            sqlx::query(statement)
                .bind(Uuid::from_bytes(*batch.id.as_bytes()))
                .bind(i32::try_from(at).unwrap_or(i32::MAX))
                .bind(serde_json::to_string(event).unwrap_or_default())
                .bind(reason)
                .execute(&mut *transaction)
                .await?;
            set_aside += 1;
        } else {
            slices.extend([(at + first.len(), second), (at, first)]);
        }
    }
    transaction.commit().await?;
    Ok(set_aside)
}

fn batch_time(batch: &UsageBatch) -> Timestamp {
    batch.events.first().map_or(Timestamp::from_micros(0), |event| event.at)
}

/// Whether the database does not take some value (SQLSTATE classes 22 and 23), now or later.
fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

fn total(row: &PgRow) -> Result<UsageTotal, sqlx::Error> {
    let count = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    // Sums may be larger than what they are sums of.
    let sum = |column| row.try_get(column).map(|sum: &str| sum.parse::<u64>().unwrap_or(u64::MAX));
    let cost: &str = row.try_get("cost")?;
    Ok(UsageTotal {
        requests: count("requests")?,
        failures: count("failures")?,
        cost: cost.parse().map_or(Amount::MAX, Amount::from_fractions),
        limit_cost: sum("limit_cost")?,
        input: sum("input")?,
        output: sum("output")?,
    })
}
