//! A service whose keys read what they have used.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use keyauth_admin::OwnUsage;
use keyauth_core::{
    Amount, Authenticator, BatchId, IssuedKey, KeyRef, KeyStore, LimitedSubject, NewKey, OwnerId,
    Period, StoreError, Timestamp, UsageBatch, UsageEvent, UsageLine, UsageLog, UsageQuery,
    UsageReader,
};
use keyauth_sqlite::SqliteStore;
use keyauth_testkit::FakeClock;
use keyauth_tower::KeyAuthLayer;
use tempfile::TempDir;
use tower::ServiceExt;

/// The third of June 2026, at noon in UTC: what the routers take for now.
pub(crate) const NOON: Timestamp = Timestamp::from_unix_seconds(1_780_488_000);

pub(crate) struct World {
    pub(crate) store: SqliteStore,
    pub(crate) reader: Reader,
    pub(crate) app: Router,
    _folder: TempDir,
}

/// A reader that can be away, or say nothing.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    store: SqliteStore,
    wire: Arc<AtomicU8>,
    reading: Arc<Mutex<Vec<LimitedSubject>>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path().join("keys.db")).await.expect("a file");
        let (wire, reading) = (Arc::default(), Arc::default());
        let reader = Reader { store: store.clone(), wire, reading };
        let usage = OwnUsage::new(reader.clone())
            .with_ledger(store.clone())
            .with_clock(FakeClock::at(NOON));
        let layer = KeyAuthLayer::new(Authenticator::new(store.clone()));
        let app = Router::new().nest("/usage", usage.into_router()).layer(layer);
        Self { store, reader, app, _folder: folder }
    }

    pub(crate) async fn issue(&self, new: NewKey) -> IssuedKey {
        self.store.issue(new).await.expect("a key")
    }

    pub(crate) async fn write(&self, events: Vec<UsageEvent>) {
        let id = BatchId::begun_at(NOON).expect("randomness");
        assert_eq!(self.store.write(&UsageBatch { id, events }).await.expect("written"), 0);
    }

    pub(crate) async fn get(&self, path: &str, key: &IssuedKey) -> Answer {
        let request = Request::builder().uri(path);
        let request = request.header("authorization", format!("Bearer {}", key.reveal()));
        self.call(request.body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8(body.into()).expect("text");
        Answer { status: head.status, headers: head.headers, text }
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).expect("JSON")
    }
}

/// A call of half a unit, so many minutes after noon.
pub(crate) fn event(key: &IssuedKey, minutes: i64) -> UsageEvent {
    let KeyRef { tenant, id } = KeyRef::from(key);
    UsageEvent {
        at: Timestamp::from_micros(NOON.as_micros() + minutes * 60_000_000),
        tenant,
        owner: OwnerId::new("ada").expect("an owner"),
        group: None,
        key: id,
        route: "POST /chat".into(),
        resource: "small".into(),
        status: 200,
        cost: Amount::from_fractions(50_000_000),
        limit_cost: 1,
        input: 2,
        output: 3,
        duration: Duration::from_micros(1_500),
        address: Some([192, 0, 2, 1].into()),
    }
}

impl Reader {
    pub(crate) fn be_away(&self) {
        self.wire.store(1, Ordering::SeqCst);
    }

    pub(crate) fn be_silent(&self) {
        self.wire.store(2, Ordering::SeqCst);
    }

    /// It holds whoever reads, and not who flushes, until it is whole again.
    pub(crate) fn be_slow(&self) {
        self.wire.store(3, Ordering::SeqCst);
    }

    pub(crate) fn be_whole(&self) {
        self.wire.store(0, Ordering::SeqCst);
    }

    /// Whose usage is being read.
    pub(crate) fn reading(&self) -> Vec<LimitedSubject> {
        self.reading.lock().expect("no panic").clone()
    }

    async fn read(&self, of: &LimitedSubject) -> Result<(), StoreError> {
        self.reading.lock().expect("no panic").push(of.clone());
        while self.wire.load(Ordering::SeqCst) == 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        {
            let mut reading = self.reading.lock().expect("no panic");
            let place = reading.iter().position(|reading| reading == of).expect("it is there");
            reading.remove(place);
        }
        self.pass().await
    }

    async fn pass(&self) -> Result<(), StoreError> {
        match self.wire.load(Ordering::SeqCst) {
            0 | 3 => Ok(()),
            1 => Err(StoreError::unavailable("it is away")),
            _ => std::future::pending().await,
        }
    }
}

impl UsageReader for Reader {
    async fn flush(&self) -> Result<(), StoreError> {
        self.pass().await
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageLine>, StoreError> {
        self.read(query.subject()).await?;
        self.store.usage(query).await
    }

    async fn calls(
        &self,
        of: &LimitedSubject,
        period: Period,
        count: u32,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        self.read(of).await?;
        self.store.calls(of, period, count).await
    }
}
