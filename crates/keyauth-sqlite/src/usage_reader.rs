//! Reading the record of usage.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Amount, GroupId, KeyId, KeyStore, LimitedSubject, OwnerId, Period, StoreError, TenantId,
    Timestamp, UsageDimension, UsageEvent, UsageLine, UsageQuery, UsageReader, UsageSlice,
    UsageTotal,
};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row, SqlitePool, Transaction};

use crate::SqliteStore;
use crate::keys::json;
use crate::row::DecodeError;

/// How long reading may take.
const DEADLINE: Duration = Duration::from_secs(10);

impl UsageReader for SqliteStore {
    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageLine>, StoreError> {
        self.usage_within(self.reports(), query, DEADLINE).await
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
        let filter = of_whom(of);
        let statement = format!(
            "WITH last (at) AS (SELECT at FROM usage WHERE {filter} AND at >= ?5 AND at < ?6 \
             ORDER BY at LIMIT 1 OFFSET ?7) \
             SELECT * FROM usage WHERE {filter} AND at >= ?5 \
             AND at <= coalesce((SELECT at FROM last), ?6 - 1) ORDER BY at",
        );
        let mut reading = self.read(self.reports(), DEADLINE).await?;
        require_kept(&mut reading, Some(period.start.as_micros())).await?;
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(tenant.as_str())
            .bind(of.owner().map(OwnerId::as_str))
            .bind(of.group().map(GroupId::as_str))
            .bind(of.key().map(|key| key.as_bytes().to_vec()))
            .bind(period.start.as_micros())
            .bind(period.end.as_micros())
            .bind(i64::from(count.saturating_sub(1)))
            .fetch_all(&mut *reading)
            .await
            .map_err(StoreError::unavailable)?;
        let events = rows.iter().map(event).collect::<Result<_, DecodeError>>();
        events.map_err(StoreError::unavailable)
    }
}

impl SqliteStore {
    /// Reads sums by one of a pool's connections, within a time.
    pub(crate) async fn usage_within(
        &self,
        pool: &SqlitePool,
        query: &UsageQuery,
        deadline: Duration,
    ) -> Result<Vec<UsageLine>, StoreError> {
        let of = query.subject();
        let Some(tenant) = of.tenant() else { return Ok(Vec::new()) };
        let by = [
            (UsageDimension::Key, "key_id"),
            (UsageDimension::Owner, "owner"),
            (UsageDimension::Route, "route"),
            (UsageDimension::Resource, "resource"),
        ];
        let by = by.map(|(by, column)| if query.is_by(by) { column } else { "NULL" }).join(", ");
        let mut filter = of_whom(of);
        if query.route().is_some() {
            filter.push_str(" AND route = ?5");
        }
        if query.resource().is_some() {
            filter.push_str(" AND resource = ?6");
        }
        // Of whole days the sums, of parts of days the calls.
        let statement = format!(
            "WITH days (place, first, after) AS \
             (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?7)), \
             parts (place, first, after) AS \
             (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?8)), \
             used (place, key_id, owner, route, resource, requests, failures, cost, limit_cost, \
             input, output) AS ( \
             SELECT place, {by}, requests, failures, cost, limit_cost, input, output \
             FROM days CROSS JOIN usage_days WHERE {filter} AND day >= first AND day < after \
             UNION ALL \
             SELECT place, {by}, 1, status = 0 OR status >= 500, cost, limit_cost, input, output \
             FROM parts CROSS JOIN usage WHERE {filter} AND at >= first AND at < after) \
             SELECT place, key_id, owner, route, resource, sum(requests) AS requests, \
             sum(failures) AS failures, sum(cost >> 32) AS cost_high, \
             sum(cost & 0xffffffff) AS cost_low, \
             CAST(sum(limit_cost) AS INTEGER) AS limit_cost, \
             CAST(sum(input) AS INTEGER) AS input, CAST(sum(output) AS INTEGER) AS output \
             FROM used GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT {limit}",
            limit = UsageQuery::MOST_LINES + 1,
        );
        let slices = |slices: &[UsageSlice]| {
            let slice = |slice: &UsageSlice| [slice.place, slice.start, slice.end];
            json(&slices.iter().map(slice).collect::<Vec<_>>())
        };
        let parts = query.parts_of_days();
        let mut reading = self.read(pool, deadline).await?;
        require_kept(&mut reading, parts.iter().map(|part| part.start).min()).await?;
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(tenant.as_str())
            .bind(of.owner().map(OwnerId::as_str))
            .bind(of.group().map(GroupId::as_str))
            .bind(of.key().map(|key| key.as_bytes().to_vec()))
            .bind(query.route())
            .bind(query.resource())
            .bind(slices(&query.whole_days())?)
            .bind(slices(&parts)?)
            .fetch_all(&mut *reading)
            .await
            .map_err(StoreError::unavailable)?;
        let lines = rows.iter().map(|row| line(query, row)).collect::<Result<_, DecodeError>>();
        UsageQuery::check_lines(lines.map_err(StoreError::unavailable)?)
    }

    /// Begins to read, and has the database end that where it takes too long: nobody waits for it any
    /// more. To be called each time, since a connection remembers it.
    async fn read(
        &self,
        pool: &SqlitePool,
        deadline: Duration,
    ) -> Result<Transaction<'static, Sqlite>, StoreError> {
        /// After how many instructions it looks at the time.
        const EACH: i32 = 10_000;
        let clock = Arc::clone(self.issuer().clock());
        let until = clock.uptime().saturating_add(deadline);
        let mut reading = pool.begin().await.map_err(StoreError::unavailable)?;
        let mut handle = reading.lock_handle().await.map_err(StoreError::unavailable)?;
        handle.set_progress_handler(EACH, move || clock.uptime() < until);
        drop(handle);
        Ok(reading)
    }
}

/// Refuses what needs calls that are kept no more.
async fn require_kept(
    reading: &mut SqliteConnection,
    begins: Option<i64>,
) -> Result<(), StoreError> {
    let since = sqlx::query_scalar("SELECT since FROM usage_kept").fetch_optional(reading).await;
    let since: Option<i64> = since.map_err(StoreError::unavailable)?;
    match since.filter(|since| begins.is_some_and(|begins| begins < *since)) {
        Some(since) => Err(UsageQuery::not_kept(Timestamp::from_micros(since))),
        None => Ok(()),
    }
}

/// The condition for rows to be somebody's: by an index, which for groups is the tenant's.
fn of_whom(of: &LimitedSubject) -> String {
    let mut filter = "tenant = ?1".to_owned();
    let conditions = [
        (of.owner().is_some(), " AND owner = ?2"),
        (of.group().is_some(), " AND group_id = ?3"),
        (of.key().is_some(), " AND key_id = ?4"),
    ];
    for (_, condition) in conditions.iter().filter(|(counts, _)| *counts) {
        filter.push_str(condition);
    }
    filter
}

fn line(query: &UsageQuery, row: &SqliteRow) -> Result<UsageLine, DecodeError> {
    let text = |column| row.try_get::<Option<&str>, _>(column);
    let key: Option<Vec<u8>> = row.try_get("key_id")?;
    let place: i64 = row.try_get("place")?;
    let period = usize::try_from(place).ok().and_then(|place| query.period(place));
    let count = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    // In halves, since a sum that is too large is an error.
    let (high, low): (i64, i64) = (row.try_get("cost_high")?, row.try_get("cost_low")?);
    let cost = (i128::from(high) << 32) + i128::from(low);
    Ok(UsageLine {
        period: period.ok_or("a period that was not asked for")?,
        key: key.map(|key| key.as_slice().try_into()).transpose()?.map(KeyId::from_bytes),
        owner: text("owner")?.map(OwnerId::new).transpose()?,
        route: text("route")?.map(Into::into),
        resource: text("resource")?.map(Into::into),
        used: UsageTotal {
            requests: count("requests")?,
            failures: count("failures")?,
            cost: Amount::from_fractions(i64::try_from(cost).unwrap_or(i64::MAX)),
            limit_cost: count("limit_cost")?,
            input: count("input")?,
            output: count("output")?,
        },
    })
}

fn event(row: &SqliteRow) -> Result<UsageEvent, DecodeError> {
    let text = |column| row.try_get::<&str, _>(column);
    let count = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    let group = Some(text("group_id")?).filter(|group| !group.is_empty());
    let address: Option<&str> = row.try_get("address")?;
    Ok(UsageEvent {
        at: Timestamp::from_micros(row.try_get("at")?),
        tenant: TenantId::new(text("tenant")?)?,
        owner: OwnerId::new(text("owner")?)?,
        group: group.map(GroupId::new).transpose()?,
        key: KeyId::from_bytes(row.try_get::<&[u8], _>("key_id")?.try_into()?),
        route: text("route")?.into(),
        resource: text("resource")?.into(),
        status: u16::try_from(row.try_get::<i64, _>("status")?).unwrap_or_default(),
        cost: Amount::from_fractions(row.try_get("cost")?),
        limit_cost: count("limit_cost")?,
        input: count("input")?,
        output: count("output")?,
        duration: Duration::from_micros(count("duration")?),
        address: address.map(str::parse::<IpAddr>).transpose()?,
    })
}
