//! A service with the management API beside it, and an administrator.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use keyauth_admin::{ManagedStore, ManagementApi, ManagementScope, OwnUsage};
use keyauth_cache::CachedLookup;
use keyauth_core::{
    Authenticator, Background, Issuer, KeyPrefix, Keyring, NewKey, Pepper, UsageLog,
};
use keyauth_metering::{LedgerMeter, UsageRecorder};
use keyauth_postgres::PostgresStore;
use keyauth_ratelimit::LocalLimiter;
use keyauth_sqlite::SqliteStore;
use keyauth_testkit::{FakeClock, PostgresDatabase};
use keyauth_tests::{Answer, Site, World, app};
use keyauth_tower::{KeyAuthLayer, RequireScope};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;

/// A running service, and all it stands on. No answer shows a secret but the one that hands it out,
/// and no log does (C16).
pub(crate) struct Office {
    /// What knows which secrets were handed out, and what is logged.
    pub(crate) world: World,
    /// What the keys' time is told by.
    pub(crate) clock: Arc<FakeClock>,
    site: Site,
    /// Another instance of it, on the same store.
    pub(crate) other: Site,
    /// The administrator's key, who may do everything.
    root: String,
    database: Database,
    background: [Option<Background>; 2],
}

enum Database {
    Sqlite { store: SqliteStore, folder: TempDir },
    Postgres { store: PostgresStore, _database: PostgresDatabase },
}

/// What is asked, but for the key.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Option<String>,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, headers: Vec::new(), body: None }
    }

    pub(crate) fn header(mut self, header: impl Into<String>) -> Self {
        self.headers.push(header.into());
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    /// A body that says it is JSON.
    pub(crate) fn text(self, body: &str) -> Self {
        let asked = self.header("Content-Type: application/json");
        Self { body: Some(body.to_owned()), ..asked }
    }

    fn written(&self) -> Vec<u8> {
        let Self { method, path, headers, body } = self;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        let body = body.as_deref().unwrap_or_default();
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        request.push_str("Connection: close\r\n\r\n");
        request.push_str(body);
        request.into_bytes()
    }
}

fn keyring() -> Keyring {
    let prefix = KeyPrefix::new("sk_test").expect("a prefix");
    let pepper = Pepper::new(1, [1; 32]).expect("a pepper");
    let keyring = Keyring::new().with_prefix(prefix).with_pepper(pepper).expect("a keyring");
    keyring.with_custom_keys().expect("a pepper is there").with_imported_keys()
}

/// An instance, as people build theirs.
async fn instance<S: ManagedStore + UsageLog>(
    store: S,
    clock: &Arc<FakeClock>,
    world: &World,
) -> (Site, Background) {
    let recorder = UsageRecorder::in_memory(store.clone());
    let meter = LedgerMeter::new(store.clone()).recording(&recorder);
    let auth = Authenticator::new(CachedLookup::new(store.clone()))
        .with_clock(Arc::clone(clock) as _)
        .with_limiter(LocalLimiter::new())
        .with_meter(meter);
    let (auth, background) = auth.start();
    let own = OwnUsage::new(recorder.clone()).with_ledger(store.clone());
    let api = ManagementApi::new(auth.clone(), store).with_usage(own, recorder);
    let reports = any(|| async { "reports" }).layer(RequireScope::new("reports:read"));
    let service = app().route("/reports", reports).layer(KeyAuthLayer::new(auth));
    let app = Router::new().merge(api.into_router()).fallback_service(service);
    (world.serve(app).await, background)
}

impl Office {
    pub(crate) async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(FakeClock::default());
        let issuer = Issuer::new().with_keyring(keyring()).with_clock(Arc::clone(&clock) as _);
        let store = SqliteStore::open(folder.path().join("keys.db")).await.expect("a file");
        let store = store.with_issuer(issuer);
        Self::open(store.clone(), Database::Sqlite { store, folder }, clock).await
    }

    pub(crate) async fn on_postgres() -> Self {
        let database = PostgresDatabase::create().await;
        let clock = Arc::new(FakeClock::default());
        let issuer = Issuer::new().with_keyring(keyring()).with_clock(Arc::clone(&clock) as _);
        let store = PostgresStore::connect(database.url()).await.expect("a server");
        store.migrate().await.expect("a migrated schema");
        let store = store.with_issuer(issuer);
        Self::open(store.clone(), Database::Postgres { store, _database: database }, clock).await
    }

    async fn open<S>(store: S, database: Database, clock: Arc<FakeClock>) -> Self
    where
        S: ManagedStore + UsageLog,
    {
        let administrator = ManagementScope::ALL.iter().copied();
        let administrator = administrator.fold(NewKey::named("root"), NewKey::scope);
        let root = store.issue(administrator).await.expect("a key").reveal().to_owned();
        let world = World::default();
        world.guard(&root);
        let (site, background) = instance(store.clone(), &clock, &world).await;
        let (other, more) = instance(store, &clock, &world).await;
        let background = [Some(background), Some(more)];
        Self { world, clock, site, other, root, database, background }
    }

    /// Asks as an administrator who may do everything.
    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        self.ask_as(&self.root, ask).await
    }

    /// Asks with a key.
    pub(crate) async fn ask_as(&self, key: &str, ask: &Ask) -> Answer {
        self.send(&ask.clone().header(format!("Authorization: Bearer {key}"))).await
    }

    /// Asks as it is.
    pub(crate) async fn send(&self, ask: &Ask) -> Answer {
        let answer = self.site.send(&ask.written()).await;
        // C16: what is handed out now, nobody is shown again.
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if let Some(secret) = body["secret"].as_str() {
            self.world.guard(secret);
        }
        answer
    }

    /// `GET`, as the administrator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&Ask::new("GET", path)).await
    }

    /// A key made by the API: its text, and what it is.
    pub(crate) async fn issue(&self, body: &Value) -> (String, Value) {
        self.issue_in("default", body).await
    }

    /// The same in a tenant.
    pub(crate) async fn issue_in(&self, tenant: &str, body: &Value) -> (String, Value) {
        let ask = Ask::new("POST", &format!("/v1/keys?tenant={tenant}")).json(body);
        let issued = self.ask(&ask).await.json_of(201);
        (issued["secret"].as_str().expect("a secret").to_owned(), issued["key"].clone())
    }

    /// A tenant, and a key of an administrator there, who may do what scopes say.
    pub(crate) async fn tenant(&self, id: &str, scopes: &[&str]) -> String {
        let put = Ask::new("PUT", &format!("/v1/tenants/{id}")).text("{}");
        self.ask(&put).await.json_of(200);
        let body = serde_json::json!({"name": "administrator", "scopes": scopes});
        self.issue_in(id, &body).await.0
    }

    /// `GET` on the service behind the layer.
    pub(crate) async fn call(&self, path: &str, key: &str) -> Answer {
        self.site.get(path, &[&format!("Authorization: Bearer {key}")]).await
    }

    /// Does something to the database by hand. `keyauth.` is the schema of tables.
    pub(crate) async fn by_hand(&self, statement: &str) {
        match &self.database {
            Database::Sqlite { folder, .. } => {
                let path = folder.path().join("keys.db");
                let url = format!("sqlite://{}", path.display());
                let mut file = sqlx::SqliteConnection::connect(&url).await.expect("the file");
                let statement = statement.replace("keyauth.", "");
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut file).await.expect("done");
                file.close().await.expect("closed");
            }
            Database::Postgres { store, .. } => {
                let statement = AssertSqlSafe(statement.to_owned());
                sqlx::raw_sql(statement).execute(store.pool()).await.expect("done");
            }
        }
    }

    /// Takes the store away, for good.
    pub(crate) async fn lose_store(&self) {
        match &self.database {
            Database::Sqlite { store, .. } => store.close().await,
            Database::Postgres { store, .. } => store.pool().close().await,
        }
    }

    /// Waits until something holds, for ten seconds at most.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..200 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what} within ten seconds");
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        // Without waiting: what is left goes with the runtime.
        for background in &mut self.background {
            drop(background.take());
        }
    }
}

/// What tests want of answers.
pub(crate) trait Told {
    /// The body, of an answer with that status.
    fn json_of(&self, status: u16) -> Value;

    /// The fields that a 400 names.
    fn named(&self) -> Vec<String>;
}

impl Told for Answer {
    #[track_caller]
    fn json_of(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("cache-control"), Some("no-store"));
        serde_json::from_str(&self.body).expect("JSON")
    }

    #[track_caller]
    fn named(&self) -> Vec<String> {
        self.assert_refused(400, "invalid_request");
        let problem = self.json_of(400);
        let errors = problem["errors"].as_array().expect("a list").iter();
        errors.map(|error| error["field"].as_str().expect("a name").to_owned()).collect()
    }
}
