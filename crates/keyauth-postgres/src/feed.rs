//! Reading changes: polling `invalidations`, and listening for when that is worth while.

use std::future;
use std::sync::Weak;
use std::time::Duration;

use keyauth_core::{
    Change, ChangeFeed, ChangeObserver, Continuity, FeedPage, FeedReader, Instance, LookupError,
    Origin, Propagation, SealKey, StoreError, Subject, Timestamp, Version,
};
use sqlx::Row;
use sqlx::postgres::{PgListener, PgPoolOptions, PgRow};
use sqlx::types::Uuid;
use tokio::time::timeout;

use crate::PostgresStore;
use crate::change::change;
use crate::instance::{Housekeeping, Registration};
use crate::row::{DecodeError, version};
use crate::time::PgTime;

/// What the triggers notify. It carries nothing.
const CHANNEL: &str = "keyauth_changes";
/// How long a poll may take. Lookups have a pool of their own, so no burst of them starves it.
const POLL_DEADLINE: Duration = Duration::from_secs(1);
/// How long making a session may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long making one and reading all that is kept may take.
const REPLAY_DEADLINE: Duration = Duration::from_secs(25);
/// How many changes of the past are told to whoever begins: about as many as caches remember.
const MOST_REPLAYED: i64 = 500_000;

impl ChangeFeed for PostgresStore {
    type Reader = PostgresFeedReader;

    fn reader(&self, instance: Instance) -> PostgresFeedReader {
        PostgresFeedReader {
            registration: Registration::new(self.schema().clone(), instance),
            housekeeping: Housekeeping::new(self.schema().clone()),
            store: self.clone(),
            session: None,
            last: None,
            unacknowledged: None,
        }
    }

    fn observe(&self, observer: Weak<dyn ChangeObserver>) {
        self.observers().add(observer);
    }

    async fn propagated(
        &self,
        subject: &Subject,
        timeout: Duration,
    ) -> Result<Propagation, StoreError> {
        crate::propagation::wait(self, subject, timeout).await
    }
}

/// Reads the changes of a [`PostgresStore`], on a connection of its own.
#[derive(Debug)]
pub struct PostgresFeedReader {
    store: PostgresStore,
    registration: Registration,
    housekeeping: Housekeeping,
    session: Option<Session>,
    last: Option<LastPoll>,
    /// The snapshot of the last page, where it has not been acknowledged.
    unacknowledged: Option<String>,
}

/// A session on the server, and how far it has read.
#[derive(Debug)]
struct Session {
    listener: PgListener,
    identity: Identity,
    origin: Origin,
    namespace: Uuid,
    history: Duration,
    /// What the last poll of this session saw. Never taken over into another one: after a
    /// crash of the server, transaction numbers come again.
    snapshot: Option<String>,
}

/// What tells a session from every other. A pooler, or a reconnect that nobody noticed,
/// could have put another one in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    pid: i32,
    started: PgTime,
}

/// The last poll that succeeded, on whatever session.
#[derive(Debug)]
struct LastPoll {
    uptime: Duration,
    /// By the server's clock.
    server: Timestamp,
    origin: Origin,
}

impl PostgresFeedReader {
    async fn poll_session(&mut self) -> Result<FeedPage, DecodeError> {
        let sent = self.registration.uptime();
        // Taken out: a session whose poll fails, or is given up half way, is not used again.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => timeout(CONNECT_DEADLINE, self.connect()).await??,
        };
        if !self.registration.is_known() {
            self.registration.register(&mut session.listener).await?;
        }
        let mut rows = read(&self.store, &self.registration, &mut session).await?;
        let mut meta = Meta::of(&rows)?;
        meta.check(&session, &mut self.registration)?;

        // What was trimmed may never have been read: by either clock, since both may be wrong.
        let gap = self.last.as_ref().map(|last| {
            let server = meta.server.saturating_duration_since(last.server);
            server.max(sent.saturating_sub(last.uptime))
        });
        let same_origin = self.last.as_ref().is_some_and(|last| last.origin == session.origin);
        let unbroken =
            same_origin && gap.is_some_and(|gap| gap <= session.history.min(meta.history) / 2);
        session.history = meta.history;
        if !unbroken && session.snapshot.take().is_some() {
            rows = read(&self.store, &self.registration, &mut session).await?;
            meta = Meta::of(&rows)?;
            meta.check(&session, &mut self.registration)?;
        }

        let mut continuity = if unbroken { Continuity::Unbroken } else { Continuity::Broken };
        let mut changes = Vec::new();
        let mut ages = Vec::new();
        if session.snapshot.is_none() {
            // Those of the past are not told one by one.
            changes.push(Change::NewSecrets);
            changes.push(Change::Raised(Subject::Everything, meta.everything));
            if rows.len() > usize::try_from(MOST_REPLAYED).unwrap_or(usize::MAX) {
                continuity = Continuity::TooMany;
                rows.clear();
            }
        }
        for row in rows.iter().filter(|row| row.try_get::<&str, _>("kind").is_ok()) {
            changes.push(change(row)?);
            if let Some(age) = row.try_get("age")? {
                ages.push(Duration::try_from_secs_f64(age).unwrap_or_default());
            }
        }
        if !changes.is_empty() || session.snapshot.is_none() {
            self.unacknowledged = Some(meta.snapshot.clone());
        }
        session.snapshot = Some(meta.snapshot);
        let origin = session.origin.clone();
        self.last = Some(LastPoll { uptime: sent, server: meta.server, origin: origin.clone() });
        self.session = Some(session);
        Ok(FeedPage { continuity, origin, changes, ages })
    }

    async fn connect(&self) -> Result<Session, DecodeError> {
        const HELLO: &str = "SELECT pg_backend_pid() AS pid, \
             (SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())) AS started, \
             CASE WHEN NOT pg_is_in_recovery() THEN keyauth.follow_lineage() END AS namespace, \
             d.seal, (extract(epoch FROM d.history) * 1000)::bigint AS history_ms \
             FROM keyauth.deployment AS d WHERE d.only_row";
        // A pool of one, because that is what a listener is made with.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(CONNECT_DEADLINE)
            .connect_lazy_with(self.store.direct().clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        // A connection that is lost must be noticed here, not mended behind our back.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        if let Err(error) = listener.listen(CHANNEL).await {
            tracing::warn!(%error, "no LISTEN here; changes arrive with the next poll");
        }
        let hello = sqlx::query(self.store.schema().sql(HELLO)).fetch_one(&mut listener).await?;
        let namespace: Option<Uuid> = hello.try_get("namespace")?;
        let namespace =
            namespace.ok_or("the feed must be read from the primary, and this is a replica")?;
        let seal = hello.try_get::<&[u8], _>("seal")?.try_into()?;
        let origin = Origin { name: namespace.to_string().into(), seal: SealKey::from_bytes(seal) };
        Ok(Session {
            identity: Identity::of(&hello)?,
            origin,
            namespace,
            history: history(&hello)?,
            snapshot: None,
            listener,
        })
    }

    async fn acknowledge_session(&mut self) -> Result<(), DecodeError> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        let listener = &mut session.listener;
        self.registration.acknowledge(listener, &mut self.unacknowledged).await?;
        let uptime = self.registration.uptime();
        self.housekeeping.run_if_due(listener, uptime, session.history).await?;
        self.session = Some(session);
        Ok(())
    }
}

impl Identity {
    fn of(row: &PgRow) -> Result<Self, DecodeError> {
        Ok(Self { pid: row.try_get("pid")?, started: row.try_get("started")? })
    }
}

fn history(row: &PgRow) -> Result<Duration, DecodeError> {
    Ok(Duration::from_millis(u64::try_from(row.try_get::<i64, _>("history_ms")?)?))
}

/// Asks for what the session has not seen, in one statement and so in one snapshot.
async fn read(
    store: &PostgresStore,
    registration: &Registration,
    session: &mut Session,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let statement = store.schema().sql(match session.snapshot {
        Some(_) => POLL,
        None => REPLAY,
    });
    let query = sqlx::query(statement).bind(registration.id());
    let query = match &session.snapshot {
        Some(snapshot) => query.bind(snapshot.clone()),
        None => query.bind(MOST_REPLAYED + 1),
    };
    query.fetch_all(&mut session.listener).await
}

macro_rules! meta_columns {
    () => {
        "SELECT pg_current_snapshot()::text AS snapshot, pg_is_in_recovery() AS in_recovery, \
         pg_backend_pid() AS pid, \
         (SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())) AS started, \
         clock_timestamp() AS server, \
         (SELECT namespace FROM keyauth.deployment WHERE only_row) AS namespace, \
         (SELECT version FROM keyauth.deployment WHERE only_row) AS everything, \
         (SELECT (extract(epoch FROM history) * 1000)::bigint \
         FROM keyauth.deployment WHERE only_row) AS history_ms, \
         EXISTS (SELECT FROM keyauth.instances WHERE id = $1) AS registered"
    };
}

/// What was not visible to the last poll: whatever has a higher number than the oldest
/// transaction that was under way then, and was under way itself or came after. How old it is, is
/// counted from its commit where the server keeps times of those, else from when it was written.
pub(crate) const POLL: &str = concat!(
    "SELECT meta.*, i.kind, i.tenant, i.subject, i.version, i.digest, \
     extract(epoch FROM meta.server - coalesce( \
     CASE current_setting('track_commit_timestamp') WHEN 'on' \
     THEN pg_xact_commit_timestamp(i.xid::xid) END, i.changed_at))::float8 AS age FROM (",
    meta_columns!(),
    ") AS meta LEFT JOIN keyauth.invalidations AS i \
     ON i.xid >= pg_snapshot_xmin($2::text::pg_snapshot) \
     AND NOT pg_visible_in_snapshot(i.xid, $2::text::pg_snapshot)"
);

/// All that is kept, each subject once, and of new secrets none: whoever hears of the past
/// forgets all that was unknown to him.
const REPLAY: &str = concat!(
    "SELECT meta.*, i.*, NULL::float8 AS age FROM (",
    meta_columns!(),
    ") AS meta LEFT JOIN ( \
     SELECT kind, tenant, subject, max(version) AS version, NULL::bytea AS digest \
     FROM keyauth.invalidations WHERE kind NOT IN ('secret', 'secrets') \
     GROUP BY kind, tenant, subject LIMIT $2) AS i ON true"
);

/// What every poll says about itself.
struct Meta {
    snapshot: String,
    server: Timestamp,
    identity: Identity,
    namespace: Uuid,
    everything: Version,
    history: Duration,
    in_recovery: bool,
    registered: bool,
}

impl Meta {
    fn of(rows: &[PgRow]) -> Result<Self, DecodeError> {
        let row = rows.first().ok_or("a poll that says nothing")?;
        Ok(Self {
            snapshot: row.try_get("snapshot")?,
            server: row.try_get::<PgTime, _>("server")?.0,
            identity: Identity::of(row)?,
            namespace: row.try_get("namespace")?,
            everything: version(row, "everything")?,
            history: history(row)?,
            in_recovery: row.try_get("in_recovery")?,
            registered: row.try_get("registered")?,
        })
    }

    /// Makes sure that the poll was made where it was meant to be. A failed check is a failed
    /// poll, and the next one begins with a new session.
    fn check(&self, session: &Session, registration: &mut Registration) -> Result<(), DecodeError> {
        if self.in_recovery {
            return Err("the server has become a replica".into());
        }
        if self.identity != session.identity {
            return Err("another session has answered, as through a pooler in transaction mode; \
                        `PostgresStore::with_direct` takes a way around"
                .into());
        }
        if self.namespace != session.namespace {
            return Err("the namespace was changed".into());
        }
        registration.check(self.history)?;
        if !self.registered {
            registration.forget();
            return Err("this instance was taken for dead, and registers again".into());
        }
        Ok(())
    }
}

impl FeedReader for PostgresFeedReader {
    async fn poll(&mut self) -> Result<FeedPage, LookupError> {
        let continues = self.session.as_ref().is_some_and(|session| session.snapshot.is_some());
        let deadline = if continues { POLL_DEADLINE } else { REPLAY_DEADLINE };
        let page = timeout(deadline, self.poll_session()).await;
        page.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)
    }

    async fn acknowledge(&mut self) -> Result<(), LookupError> {
        let done = timeout(POLL_DEADLINE, self.acknowledge_session()).await;
        done.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)
    }

    async fn hint(&mut self) {
        let Some(session) = &mut self.session else { return future::pending().await };
        match session.listener.try_recv().await {
            Ok(Some(_)) => while session.listener.next_buffered().is_some() {},
            // The connection is lost: reason enough to poll, which makes another.
            Ok(None) | Err(_) => self.session = None,
        }
    }

    async fn leave(mut self) {
        if !self.registration.is_known() {
            return;
        }
        // A poll that was given up half way has taken its session along, and whoever revokes would
        // wait for this instance until it is taken for dead.
        let left = async {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.connect().await?,
            };
            Ok::<_, DecodeError>(self.registration.leave(&mut session.listener).await?)
        };
        let _ = timeout(POLL_DEADLINE, left).await;
    }
}
