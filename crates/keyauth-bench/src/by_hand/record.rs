//! Lookups: the statement that the store sends, and its columns read one by one.

use keyauth_core::{Budget, Limit};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::{Json, Uuid};
use sqlx::{Postgres, Row, Sqlite};

/// All that a lookup reads, as plain values: what rules it holds is left to others, and so is which
/// limits apply.
///
/// Fair in that nothing is left out that decides about a key, and that columns are read by their
/// numbers, which is quicker than by their names and what nobody would do by hand who has to keep
/// it up.
#[derive(Debug)]
#[expect(dead_code, reason = "it is read for its own sake")]
pub(crate) struct Record {
    ids: [[u8; 16]; 2],
    texts: Vec<String>,
    group: [Option<String>; 4],
    lists: Vec<Vec<String>>,
    limits: [Option<Vec<Limit>>; 4],
    budgets: [Option<Vec<Budget>>; 4],
    metadata: serde_json::Map<String, serde_json::Value>,
    times: Vec<Option<i64>>,
    member: bool,
    rate_multiplier: Option<String>,
    versions: [Option<i64>; 5],
}

const TEXTS: [usize; 7] = [1, 2, 4, 5, 6, 22, 23];
const GROUP: [usize; 4] = [3, 24, 25, 34];
const LISTS: [usize; 5] = [7, 8, 9, 10, 11];
const LIMITS: [usize; 4] = [12, 27, 28, 29];
const BUDGETS: [usize; 4] = [13, 30, 31, 32];
const TIMES: [usize; 7] = [15, 16, 17, 18, 19, 21, 35];

pub(crate) async fn from_postgres(
    pool: &sqlx::Pool<Postgres>,
    digest: &[u8],
) -> Result<Record, sqlx::Error> {
    let statement = sqlx::query(keyauth_postgres::LOOKUP).bind(digest);
    let row: PgRow = statement.fetch_one(pool).await?;
    let terms =
        |at| row.try_get::<Option<Json<Vec<Limit>>>, _>(at).map(|json| json.map(|json| json.0));
    let budgets =
        |at| row.try_get::<Option<Json<Vec<Budget>>>, _>(at).map(|json| json.map(|json| json.0));
    Ok(Record {
        ids: [row.try_get::<Uuid, _>(0)?.into_bytes(), row.try_get::<Uuid, _>(20)?.into_bytes()],
        texts: TEXTS.iter().map(|at| row.try_get(*at)).collect::<Result<_, _>>()?,
        group: four(GROUP, |at| row.try_get(at))?,
        lists: LISTS.iter().map(|at| row.try_get(*at)).collect::<Result<_, _>>()?,
        limits: four(LIMITS, terms)?,
        budgets: four(BUDGETS, budgets)?,
        metadata: row.try_get::<Json<_>, _>(14)?.0,
        // Microseconds, as the server sends them.
        times: TIMES.iter().map(|at| row.try_get_unchecked(*at)).collect::<Result<_, _>>()?,
        member: row.try_get(26)?,
        rate_multiplier: row.try_get(33)?,
        versions: [
            row.try_get(36)?,
            row.try_get(37)?,
            row.try_get(38)?,
            row.try_get(39)?,
            row.try_get(40)?,
        ],
    })
}

pub(crate) async fn from_sqlite(
    pool: &sqlx::Pool<Sqlite>,
    digest: &[u8],
) -> Result<Record, sqlx::Error> {
    let statement = sqlx::query(keyauth_sqlite::LOOKUP).bind(digest);
    let row: SqliteRow = statement.fetch_one(pool).await?;
    let terms =
        |at| row.try_get::<Option<Json<Vec<Limit>>>, _>(at).map(|json| json.map(|json| json.0));
    let budgets =
        |at| row.try_get::<Option<Json<Vec<Budget>>>, _>(at).map(|json| json.map(|json| json.0));
    let list = |at| row.try_get::<Json<Vec<String>>, _>(at).map(|json| json.0);
    let id = |at| row.try_get::<&[u8], _>(at).map(|id| id.try_into().expect("16 bytes"));
    Ok(Record {
        ids: [id(0)?, id(20)?],
        texts: TEXTS.iter().map(|at| row.try_get(*at)).collect::<Result<_, _>>()?,
        group: four(GROUP, |at| row.try_get(at))?,
        lists: LISTS.iter().map(|at| list(*at)).collect::<Result<_, _>>()?,
        limits: four(LIMITS, terms)?,
        budgets: four(BUDGETS, budgets)?,
        metadata: row.try_get::<Json<_>, _>(14)?.0,
        times: TIMES.iter().map(|at| row.try_get(*at)).collect::<Result<_, _>>()?,
        member: row.try_get(26)?,
        rate_multiplier: row.try_get(33)?,
        versions: [
            row.try_get(36)?,
            row.try_get(37)?,
            row.try_get(38)?,
            row.try_get(39)?,
            row.try_get(40)?,
        ],
    })
}

fn four<T>(
    columns: [usize; 4],
    read: impl Fn(usize) -> Result<T, sqlx::Error>,
) -> Result<[T; 4], sqlx::Error> {
    let [a, b, c, d] = columns;
    Ok([read(a)?, read(b)?, read(c)?, read(d)?])
}
