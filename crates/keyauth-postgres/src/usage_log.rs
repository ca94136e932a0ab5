//! Writing the record of what was used: `migrations/0005_usage.sql` has what is done with it.

use std::time::Duration;

use keyauth_core::{
    GroupId, LimitUnit, LimitedSubject, LookupError, Period, StoreError, UsageBatch, UsageEvent,
    UsageLog, UsageQuery, UsageSums,
};
use sqlx::types::Uuid;

use crate::PostgresStore;
use crate::keys::uuid;
use crate::transaction::{ATTEMPTS, is_transient};

/// More than that is nobody's count: sums of it stay exact.
const MOST: u64 = 1 << 40;
/// How long a request waits for what a limit begins with.
const SUMS_DEADLINE: Duration = Duration::from_secs(1);

impl UsageLog for PostgresStore {
    async fn write(&self, batch: &UsageBatch) -> Result<usize, StoreError> {
        let (mut attempt, mut one_by_one) = (1, OneByOne::No);
        loop {
            match self.write_batch(batch, one_by_one).await {
                Err(error) if attempt < ATTEMPTS && is_transient(&error) => attempt += 1,
                Err(error) if is_refused(&error) && one_by_one == OneByOne::No => {
                    one_by_one = OneByOne::Yes;
                }
                outcome => return outcome.map_err(StoreError::unavailable),
            }
        }
    }

    async fn tidy(&self, keep_calls_for: Option<Duration>) -> Result<(), StoreError> {
        // By the database's clock, and a century is for ever.
        let statement = self.schema().sql(
            "SELECT keyauth.detach_usage(((now() - $1 * interval '1 day') \
             AT TIME ZONE 'UTC')::date)",
        );
        let days = keep_calls_for.map(|keep| (keep.as_secs_f64() / 86_400.0).min(36_525.0));
        let detached: Vec<String> = sqlx::query_scalar(statement)
            .bind(days)
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::unavailable)?;
        for table in detached {
            tracing::info!(table, "a day of usage is detached, and its table kept");
        }
        Ok(())
    }
}

impl UsageSums for PostgresStore {
    async fn used(
        &self,
        subject: &LimitedSubject,
        unit: LimitUnit,
        period: Period,
    ) -> Result<u64, LookupError> {
        let query = UsageQuery::total(subject.clone(), period);
        // The server as well gives up then, and gives back the connection.
        let lines = self.usage_within(&query, SUMS_DEADLINE);
        let lines = tokio::time::timeout(SUMS_DEADLINE, lines).await;
        let lines = lines.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)?;
        Ok(lines.first().map_or(0, |line| line.used.counted(unit)))
    }
}

/// Whether events of a batch are written one by one, since some of them are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OneByOne {
    No,
    Yes,
}

impl PostgresStore {
    /// Writes a batch, in one statement. Says how many of its events were set aside.
    async fn write_batch(
        &self,
        batch: &UsageBatch,
        one_by_one: OneByOne,
    ) -> Result<usize, sqlx::Error> {
        fn column<T>(batch: &UsageBatch, value: impl Fn(&UsageEvent) -> T) -> Vec<T> {
            batch.events.iter().map(value).collect()
        }
        let statement = self.schema().sql(
            "SELECT keyauth.write_usage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
             $14, $15, $16)",
        );
        let whole = |number: u64| i64::try_from(number.min(MOST)).unwrap_or(i64::MAX);
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let group =
            |event: &UsageEvent| event.group.as_ref().map_or("", GroupId::as_str).to_owned();
        // What no text of PostgreSQL may have.
        let text = |text: &str| text.replace('\0', "");
        let as_text = |event: &UsageEvent| serde_json::to_string(event).unwrap_or_default();
        let events = (one_by_one == OneByOne::Yes).then(|| column(batch, as_text));
        let set_aside: i64 = sqlx::query_scalar(statement)
            .bind(Uuid::from_bytes(*batch.id.as_bytes()))
            .bind(column(batch, |event| event.at.as_micros()))
            .bind(column(batch, |event| event.tenant.as_str().to_owned()))
            .bind(column(batch, |event| event.owner.as_str().to_owned()))
            .bind(column(batch, group))
            .bind(column(batch, |event| uuid(event.key)))
            .bind(column(batch, |event| text(&event.route)))
            .bind(column(batch, |event| text(&event.resource)))
            .bind(column(batch, |event| i32::from(event.status)))
            .bind(column(batch, |event| event.cost.as_fractions()))
            .bind(column(batch, |event| whole(event.limit_cost)))
            .bind(column(batch, |event| whole(event.input)))
            .bind(column(batch, |event| whole(event.output)))
            .bind(column(batch, |event| micros(event.duration)))
            .bind(column(batch, |event| event.address.map(|address| address.to_string())))
            .bind(events)
            .fetch_one(self.pool())
            .await?;
        Ok(usize::try_from(set_aside).unwrap_or_default())
    }
}

/// Whether the database does not take some value, now or later (SQLSTATE classes 22, 23 and 54).
fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}
