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

/// How many calls with these keys are on record, one by one and in sums of days.
pub(crate) async fn recorded(url: &str, keys: &[Issued]) -> [i64; 2] {
    let keys: Vec<_> = keys.iter().map(|key| format!("'{}'", key.id)).collect();
    let keys = keys.join(", ");
    let calls = format!("SELECT count(*) FROM keyauth.usage WHERE key_id IN ({keys})");
    let sums = format!(
        "SELECT coalesce(sum(requests), 0)::bigint FROM keyauth.usage_days WHERE key_id IN ({keys})"
    );
    [number(url, &calls).await, number(url, &sums).await]
}
