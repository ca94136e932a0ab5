//! Reading the record of usage: `migrations/0005_usage.sql` has how.

use std::net::IpAddr;
use std::time::Duration;

use keyauth_core::{
    Amount, GroupId, KeyId, LimitedSubject, OwnerId, Period, StoreError, TenantId, Timestamp,
    UsageDimension, UsageEvent, UsageLine, UsageQuery, UsageReader, UsageSlice, UsageTotal,
};
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::types::Uuid;

use crate::PostgresStore;
use crate::keys::uuid;
use crate::row::DecodeError;

/// How long reading may take.
const DEADLINE: Duration = Duration::from_secs(10);

impl UsageReader for PostgresStore {
    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageLine>, StoreError> {
        self.usage_within(query, DEADLINE).await
    }

    async fn calls(
        &self,
        of: &LimitedSubject,
        period: Period,
        count: u32,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        let query = UsageQuery::total(of.clone(), period);
        let (Some(tenant), Some(period)) = (of.tenant(), query.period(0)) else {
            return Ok(Vec::new());
        };
        let statement = self.schema().sql(
            "SELECT (extract(epoch FROM at) * 1000000)::bigint AS at, tenant, owner, group_id, \
             key_id, route, resource, status, cost, limit_cost, input, output, \
             (extract(epoch FROM duration) * 1000000)::bigint AS duration, host(address) AS address \
             FROM keyauth.list_usage($1, $2, $3, $4, $5, $6, $7)",
        );
        let statement = sqlx::query(statement)
            .bind(tenant.as_str())
            .bind(of.owner().map(OwnerId::as_str))
            .bind(of.group().map(GroupId::as_str))
            .bind(of.key().map(uuid))
            .bind(period.start.as_micros())
            .bind(period.end.as_micros())
            .bind(i64::from(count));
        let rows = self.read(statement, DEADLINE).await?;
        rows.iter().map(event).collect::<Result<_, DecodeError>>().map_err(StoreError::unavailable)
    }
}

impl PostgresStore {
    /// Reads sums, within a time.
    pub(crate) async fn usage_within(
        &self,
        query: &UsageQuery,
        deadline: Duration,
    ) -> Result<Vec<UsageLine>, StoreError> {
        let Some(tenant) = query.subject().tenant() else { return Ok(Vec::new()) };
        let column = |slices: &[UsageSlice], of: fn(&UsageSlice) -> i64| -> Vec<i64> {
            slices.iter().map(of).collect()
        };
        let (days, calls) = (query.whole_days(), query.parts_of_days());
        let statement = self.schema().sql(
            "SELECT place, key_id, owner, route, resource, requests, failures, cost::text, \
             limit_cost::text, input::text, output::text FROM keyauth.read_usage($1, $2, $3, $4, \
             $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        );
        let statement = sqlx::query(statement)
            .bind(column(&days, |slice| slice.place))
            .bind(column(&days, |slice| slice.start))
            .bind(column(&days, |slice| slice.end))
            .bind(column(&calls, |slice| slice.place))
            .bind(column(&calls, |slice| slice.start))
            .bind(column(&calls, |slice| slice.end))
            .bind(tenant.as_str())
            .bind(query.subject().owner().map(OwnerId::as_str))
            .bind(query.subject().group().map(GroupId::as_str))
            .bind(query.subject().key().map(uuid))
            .bind(query.route())
            .bind(query.resource())
            .bind(query.is_by(UsageDimension::Key))
            .bind(query.is_by(UsageDimension::Owner))
            .bind(query.is_by(UsageDimension::Route))
            .bind(query.is_by(UsageDimension::Resource))
            .bind(i64::try_from(UsageQuery::MOST_LINES).unwrap_or(i64::MAX).saturating_add(1));
        let rows = self.read(statement, deadline).await?;
        let lines = rows.iter().map(|row| line(query, row)).collect::<Result<_, DecodeError>>();
        UsageQuery::check_lines(lines.map_err(StoreError::unavailable)?)
    }

    /// Reads, and has the server end that where it takes too long: nobody waits for it any more, and
    /// it would keep its connection.
    async fn read(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
        deadline: Duration,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut reading = self.pool().begin().await.map_err(StoreError::unavailable)?;
        sqlx::query("SELECT set_config('statement_timeout', $1, true)")
            .bind(deadline.as_millis().to_string())
            .execute(&mut *reading)
            .await
            .map_err(StoreError::unavailable)?;
        let rows = statement.fetch_all(&mut *reading).await.map_err(refusal)?;
        reading.commit().await.map_err(StoreError::unavailable)?;
        Ok(rows)
    }
}

/// What the database says to what needs calls that are kept no more, and since when they are.
fn refusal(error: sqlx::Error) -> StoreError {
    const NOT_KEPT: &str = "KA001";
    let refused =
        error.as_database_error().filter(|error| error.code().as_deref() == Some(NOT_KEPT));
    match refused.and_then(|error| error.message().parse().ok()) {
        Some(since) => UsageQuery::not_kept(Timestamp::from_unix_seconds(since)),
        None => StoreError::unavailable(error),
    }
}

fn line(query: &UsageQuery, row: &PgRow) -> Result<UsageLine, DecodeError> {
    let text = |column| row.try_get::<Option<&str>, _>(column);
    let count = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    // Sums may be larger than what they are sums of.
    let sum = |column| row.try_get(column).map(|sum: &str| sum.parse::<u64>().unwrap_or(u64::MAX));
    let place: i64 = row.try_get("place")?;
    let period = usize::try_from(place).ok().and_then(|place| query.period(place));
    let cost: &str = row.try_get("cost")?;
    Ok(UsageLine {
        period: period.ok_or("a period that was not asked for")?,
        key: row.try_get::<Option<Uuid>, _>("key_id")?.map(|id| KeyId::from_bytes(*id.as_bytes())),
        owner: text("owner")?.map(OwnerId::new).transpose()?,
        route: text("route")?.map(Into::into),
        resource: text("resource")?.map(Into::into),
        used: UsageTotal {
            requests: count("requests")?,
            failures: count("failures")?,
            cost: cost.parse().map_or(Amount::MAX, Amount::from_fractions),
            limit_cost: sum("limit_cost")?,
            input: sum("input")?,
            output: sum("output")?,
        },
    })
}

fn event(row: &PgRow) -> Result<UsageEvent, DecodeError> {
    let text = |column| row.try_get::<&str, _>(column);
    let count = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    let group = Some(text("group_id")?).filter(|group| !group.is_empty());
    let address: Option<&str> = row.try_get("address")?;
    Ok(UsageEvent {
        at: Timestamp::from_micros(row.try_get("at")?),
        tenant: TenantId::new(text("tenant")?)?,
        owner: OwnerId::new(text("owner")?)?,
        group: group.map(GroupId::new).transpose()?,
        key: KeyId::from_bytes(*row.try_get::<Uuid, _>("key_id")?.as_bytes()),
        route: text("route")?.into(),
        resource: text("resource")?.into(),
        status: u16::try_from(row.try_get::<i32, _>("status")?).unwrap_or_default(),
        cost: Amount::from_fractions(row.try_get("cost")?),
        limit_cost: count("limit_cost")?,
        input: count("input")?,
        output: count("output")?,
        duration: Duration::from_micros(count("duration")?),
        address: address.map(str::parse::<IpAddr>).transpose()?,
    })
}
