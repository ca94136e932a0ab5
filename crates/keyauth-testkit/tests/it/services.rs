//! One smoke test a service.

use keyauth_testkit::{PostgresDatabase, RedisKeyspace};
use redis::AsyncCommands;
use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn postgres_gives_each_test_a_database_of_its_own() {
    let (one, other) = (PostgresDatabase::create().await, PostgresDatabase::create().await);
    assert_ne!(one.url(), other.url());
    let mut connection = PgConnection::connect(one.url()).await.expect("a connection");
    let create = "CREATE TABLE mine (answer int); INSERT INTO mine VALUES (42)";
    sqlx::raw_sql(create).execute(&mut connection).await.expect("a table");
    let answer = sqlx::query_scalar::<_, i32>("SELECT answer FROM mine").fetch_one(&mut connection);
    assert_eq!(answer.await.expect("a row"), 42);
    let mut connection = PgConnection::connect(other.url()).await.expect("a connection");
    let missing = sqlx::query("SELECT answer FROM mine").execute(&mut connection).await;
    let error = missing.expect_err("the other test's table");
    assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some("42P01"));

    let gone = one.url().to_owned();
    drop(one);
    PgConnection::connect(&gone).await.expect_err("the database is dropped");
}

#[tokio::test]
async fn redis_gives_each_test_names_of_its_own() {
    let (one, other) = (RedisKeyspace::create().await, RedisKeyspace::create().await);
    assert_ne!(one.prefix(), other.prefix());
    let client = redis::Client::open(one.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let name = format!("{}answer", one.prefix());
    let () = connection.set_ex(&name, 42, 60).await.expect("written");
    assert_eq!(connection.get::<_, Option<i32>>(&name).await.expect("read"), Some(42));
    let name = format!("{}answer", other.prefix());
    assert_eq!(connection.get::<_, Option<i32>>(&name).await.expect("read"), None);
}
