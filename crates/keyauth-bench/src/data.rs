//! Keys that take long to make, and are kept from run to run.

use indicatif::{ProgressBar, ProgressStyle};
use keyauth_core::{KeyStore, Limit, NewKey};
use keyauth_postgres::PostgresStore;
use keyauth_testkit::PostgresServer;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

/// How many keys there are in each of the databases.
pub(crate) const COUNTS: [usize; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// How many are made in one statement.
const STEP: usize = 100_000;
/// So that what is looked up is in memory, as it would be on a server that is for this.
const SETTINGS: [&str; 4] =
    ["shared_buffers=2GB", "max_wal_size=8GB", "synchronous_commit=off", "jit=off"];

/// A server with databases that are kept.
#[derive(Debug)]
pub(crate) struct Kept(PostgresServer);

impl Kept {
    /// The server, where all keys were made.
    pub(crate) async fn open() -> Option<Self> {
        let server = PostgresServer::start_kept("keyauth-bench-data", &SETTINGS, false).await?;
        let kept = Self(server);
        for count in COUNTS {
            if !kept.has(count).await {
                return None;
            }
        }
        for count in COUNTS {
            kept.read(count).await;
        }
        Some(kept)
    }

    /// Reads all of a database once, and what finds keys into the server's own memory, as it is on
    /// a server that has run for a while: what grows with keys is to be measured, and not the disk.
    async fn read(&self, count: usize) {
        let pool = PgPool::connect(&self.url(count)).await.expect("a database");
        execute(&pool, "CREATE EXTENSION IF NOT EXISTS pg_prewarm".to_owned()).await;
        for (mode, which) in
            [("read", ""), ("buffer", "AND relname IN ('secrets_pkey', 'keys_pkey')")]
        {
            let read = format!(
                "SELECT pg_prewarm(oid, '{mode}') FROM pg_class \
                 WHERE relnamespace = 'keyauth'::regnamespace AND relkind IN ('r', 'i') {which}"
            );
            execute(&pool, read).await;
        }
        pool.close().await;
    }

    /// Makes what is not there yet.
    pub(crate) async fn make() {
        let server = PostgresServer::start_kept("keyauth-bench-data", &SETTINGS, true).await;
        let kept = Self(server.expect("it is made where it is not there"));
        for count in COUNTS {
            if kept.has(count).await {
                println!("{count} keys are there");
            } else {
                kept.fill(count).await;
            }
        }
    }

    /// Whether so many keys are there.
    pub(crate) async fn has(&self, count: usize) -> bool {
        let pool = PgPool::connect(&self.url(count)).await;
        let Ok(pool) = pool else { return false };
        // Written last.
        let done = sqlx::query("SELECT FROM made").execute(&pool).await;
        pool.close().await;
        done.is_ok()
    }

    pub(crate) fn url(&self, count: usize) -> String {
        let server = self.0.url();
        let (server, _) = server.rsplit_once('/').expect("a database in the URL");
        format!("{server}/{}", name(count))
    }

    async fn fill(&self, count: usize) {
        let server = PgPool::connect(&self.0.url()).await.expect("a server");
        let name = name(count);
        execute(&server, format!("DROP DATABASE IF EXISTS {name}")).await;
        execute(&server, format!("CREATE DATABASE {name}")).await;
        let store = PostgresStore::connect(&self.url(count)).await.expect("a database");
        store.migrate().await.expect("a schema");
        // Whose limits all have.
        let template = NewKey::named("template").limit(Limit::per_minute(1_000));
        store.issue(template).await.expect("a key");
        // One connection, whose settings stay.
        let pool = PgPoolOptions::new().max_connections(1).connect(&self.url(count)).await;
        let pool = pool.expect("a database");
        // As rows that were restored: without an audit.
        execute(&pool, "SET session_replication_role = replica".to_owned()).await;
        execute(
            &pool,
            format!(
                "INSERT INTO keyauth.owners (tenant, id) \
                 SELECT 'default', 'owner' || i FROM generate_series(0, {count} / 1000) AS i"
            ),
        )
        .await;
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos} of {len}, {eta} to go");
        let bar = ProgressBar::new(u64::try_from(count).expect("a count"));
        bar.set_style(style.expect("a template"));
        bar.set_message("making keys");
        for first in (0..count).step_by(STEP) {
            let last = (first + STEP).min(count) - 1;
            execute(&pool, some(first, last)).await;
            bar.set_position(u64::try_from(last + 1).expect("a count"));
        }
        bar.finish();
        println!("looking over {count} keys");
        // Alone: workers would want more shared memory than containers have.
        execute(&pool, "VACUUM (PARALLEL 0, ANALYZE)".to_owned()).await;
        execute(&pool, "CREATE TABLE made ()".to_owned()).await;
    }
}

fn name(count: usize) -> String {
    format!("keys_{count}")
}

/// The digest of the key of a number.
pub(crate) fn digest(number: usize) -> [u8; 32] {
    Sha256::digest(format!("bench-{number}")).into()
}

/// Keys with ids that grow with time, as those that are issued have.
fn some(first: usize, last: usize) -> String {
    format!(
        "WITH made AS (SELECT i, (lpad(to_hex(1700000000000 + i), 12, '0') || '7' || \
         substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid AS id \
         FROM generate_series({first}, {last}) AS i), \
         keys AS (INSERT INTO keyauth.keys (id, tenant, owner, name, hint, scopes, limits) \
         SELECT id, 'default', 'owner' || (i / 1000), 'key ' || i, 'sk_' || left(md5(i::text), 4), \
         ARRAY['reports:read', 'reports:write'], \
         (SELECT limits FROM keyauth.keys WHERE name = 'template') FROM made) \
         INSERT INTO keyauth.secrets (digest, id, key_id, algorithm, kind) \
         SELECT sha256(('bench-' || i)::bytea), id, id, 'sha256', 'generated' FROM made"
    )
}

async fn execute(pool: &PgPool, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("done");
}
