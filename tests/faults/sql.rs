//! The database, by hand.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::api::Issued;

/// Runs statements.
pub(crate) async fn execute(url: &str, statements: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await?;
    connection.close().await
}

pub(crate) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    PgConnection::connect_with(&options).await
}

/// The one number that a query gives.
pub(crate) async fn number(url: &str, query: &str) -> i64 {
    let mut connection = connect(url).await.expect("a server");
    let number = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
    number.fetch_one(&mut connection).await.expect("a number")
}

/// How many calls with each of these keys are on record, one by one and in sums of days.
pub(crate) async fn recorded(url: &str, keys: &[Issued]) -> Vec<[usize; 2]> {
    let mut connection = connect(url).await.expect("a server");
    let mut recorded = Vec::new();
    for Issued { id, .. } in keys {
        let count = format!(
            "SELECT (SELECT count(*) FROM keyauth.usage WHERE key_id = '{id}'), \
             (SELECT coalesce(sum(requests), 0)::bigint FROM keyauth.usage_days \
              WHERE key_id = '{id}')"
        );
        let count: (i64, i64) =
            sqlx::query_as(AssertSqlSafe(count)).fetch_one(&mut connection).await.expect("counts");
        let [calls, sums] =
            [count.0, count.1].map(|count| usize::try_from(count).expect("a count"));
        recorded.push([calls, sums]);
    }
    recorded
}
