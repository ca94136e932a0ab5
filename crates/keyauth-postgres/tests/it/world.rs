//! A database, and instances that serve from it.

use std::sync::Arc;
use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{
    Authenticator, Background, Denial, Instance, IssuedKey, KeyStore, LookupErrorKind, NewKey,
    RequestFacts,
};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx::postgres::PgConnection;
use keyauth_postgres::sqlx::{AssertSqlSafe, Connection, raw_sql};
use keyauth_testkit::{FakeClock, PostgresDatabase};

/// What becomes of a request.
pub(crate) type Verdict = Result<Result<(), Denial>, LookupErrorKind>;

pub(crate) const ADMITTED: Verdict = Ok(Ok(()));
pub(crate) const REVOKED: Verdict = Ok(Err(Denial::KeyRevoked));
pub(crate) const UNKNOWN: Verdict = Ok(Err(Denial::InvalidKey));

pub(crate) struct World {
    pub(crate) database: PostgresDatabase,
    /// Changes keys in another process than those that serve, as far as these can tell.
    pub(crate) store: PostgresStore,
}

impl World {
    pub(crate) async fn create() -> Self {
        let database = PostgresDatabase::create().await;
        let store = PostgresStore::connect(database.url()).await.expect("a server");
        store.migrate().await.expect("a migrated schema");
        Self { database, store }
    }

    pub(crate) async fn issue(&self, new: NewKey) -> IssuedKey {
        self.store.issue(new).await.expect("a valid key")
    }

    /// An instance with a store and a cache of its own.
    pub(crate) async fn serve(&self) -> Served {
        let store = PostgresStore::connect(self.database.url()).await.expect("a server");
        Served::start(store, CacheOptions::new())
    }

    /// A connection as `psql` has one.
    pub(crate) async fn psql(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.expect("a server")
    }

    pub(crate) async fn run(&self, sql: impl Into<String>) {
        execute(&mut self.psql().await, sql).await;
    }
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: impl Into<String>) {
    raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.expect("it runs");
}

/// An instance of a service.
pub(crate) struct Served {
    pub(crate) auth: Authenticator,
    pub(crate) background: Background,
}

impl Served {
    pub(crate) fn start(store: PostgresStore, options: CacheOptions) -> Self {
        let lookup = CachedLookup::with_options(store, options);
        let (auth, background) = Authenticator::new(lookup).start();
        Self { auth, background }
    }

    pub(crate) async fn verify(&self, key: &IssuedKey) -> Verdict {
        let decision = self.auth.verify(key.reveal(), &RequestFacts::new()).await;
        decision.map(|decision| decision.map(drop)).map_err(|error| error.kind())
    }

    /// Waits until a key is judged so.
    pub(crate) async fn wait_for(&self, key: &IssuedKey, verdict: Verdict) {
        let mut found = None;
        let waiting = async {
            while found != Some(verdict) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                found = Some(self.verify(key).await);
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok();
        assert!(in_time, "{found:?}, not {verdict:?}");
    }
}

/// A reader of a test's own, with a clock that the test turns.
pub(crate) fn instance(name: &str) -> (Instance, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    let instance = Instance {
        name: name.into(),
        max_staleness: Duration::from_secs(5),
        grace: Duration::from_secs(60),
        clock: Arc::clone(&clock) as _,
    };
    (instance, clock)
}
