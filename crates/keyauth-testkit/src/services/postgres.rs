//! A PostgreSQL database of a test's own.

use std::sync::mpsc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use super::{Service, url};

/// How long the end of a test waits for its database to go.
const PATIENCE: Duration = Duration::from_secs(1);

/// A new database on the run's PostgreSQL server, dropped with this value.
#[derive(Debug)]
pub struct PostgresDatabase {
    server: String,
    name: String,
    url: String,
}

impl PostgresDatabase {
    /// Creates a database, starting the server where this is the run's first.
    ///
    /// # Panics
    ///
    /// Where there is no server and none can be started, saying what to install.
    pub async fn create() -> Self {
        let server = url(Service::Postgres).await;
        let name = format!("keyauth_{}", uuid::Uuid::new_v4().simple());
        execute(&server, format!("CREATE DATABASE {name}")).await.expect("a new database");
        let options: PgConnectOptions = server.parse().expect("a PostgreSQL URL");
        let url = sqlx::ConnectOptions::to_url_lossy(&options.database(&name)).to_string();
        Self { server, name, url }
    }

    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread with a runtime of its own, because the test's may be going down. That it
        // fails matters to nobody: a container goes with all its databases.
        let (dropped, done) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let _ = runtime.map(|runtime| runtime.block_on(execute(&server, sql)));
            let _ = dropped.send(());
        });
        // Not for longer: the server waits for those that are just logging in, and they may be
        // tasks of the runtime that is held up here. It goes on by itself.
        let _ = done.recv_timeout(PATIENCE);
    }
}

pub(super) async fn execute(server: &str, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}
