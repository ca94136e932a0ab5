//! Reading changes: those of this process are told at once, those of others are polled.

use std::sync::Weak;
use std::time::Duration;

use keyauth_core::{
    ChangeFeed, ChangeObserver, Continuity, FeedPage, FeedReader, Instance, LookupError, Origin,
    Propagation, SealKey, StoreError, Subject,
};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Row, Transaction};
use tokio::time::{sleep, timeout};

use crate::SqliteStore;
use crate::change::change;
use crate::instance::Registration;
use crate::row::DecodeError;
use crate::transaction::LAST_CHANGE;

/// How long a poll may take.
const POLL_DEADLINE: Duration = Duration::from_secs(1);
/// How long registering may take, which has to wait for writers.
const REGISTER_DEADLINE: Duration = Duration::from_secs(10);
/// How many changes are told with one poll, so that it ends in time.
const MOST_AT_ONCE: i64 = 50_000;
/// How often it is asked whether the file has changed, which costs next to nothing.
const GLANCE: Duration = Duration::from_millis(20);

impl ChangeFeed for SqliteStore {
    type Reader = SqliteFeedReader;

    fn reader(&self, instance: Instance) -> SqliteFeedReader {
        let registration = Registration::new(self.clone(), instance);
        SqliteFeedReader {
            store: self.clone(),
            registration,
            read: None,
            unacknowledged: None,
            namespace: None,
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

/// Reads the changes of a [`SqliteStore`], whichever process has made them.
#[derive(Debug)]
pub struct SqliteFeedReader {
    store: SqliteStore,
    registration: Registration,
    /// The last change it has read; none before the first poll. There is one writer, so no
    /// change before it can still come.
    read: Option<i64>,
    unacknowledged: Option<i64>,
    namespace: Option<String>,
}

impl SqliteFeedReader {
    async fn poll_file(&mut self) -> Result<FeedPage, DecodeError> {
        let mut reading: Transaction<'_, Sqlite> = self.store.readers().begin().await?;
        let meta = sqlx::query("SELECT namespace, seal, trimmed, history_ms FROM deployment");
        let meta = meta.fetch_one(&mut *reading).await?;
        let known = self.registration.is_known_in(&mut reading).await?;
        let last: i64 = sqlx::query_scalar(LAST_CHANGE).fetch_one(&mut *reading).await?;
        let mut rows = sqlx::query(
            "SELECT kind, tenant, subject, version, digest, \
             (julianday('now') - 2440587.5) * 86400.0 - changed_at / 1000000.0 AS age \
             FROM invalidations WHERE id > ? LIMIT ?",
        )
        .bind(self.read.unwrap_or(0))
        .bind(MOST_AT_ONCE + 1)
        .fetch_all(&mut *reading)
        .await?;
        reading.rollback().await?;
        if !known {
            self.registration.forget();
            return Err("this instance was taken for dead, and registers again".into());
        }
        let history = Duration::from_millis(u64::try_from(meta.try_get::<i64, _>("history_ms")?)?);
        self.registration.check(history)?;
        let trimmed: i64 = meta.try_get("trimmed")?;
        let namespace: String = meta.try_get("namespace")?;
        let same = self.namespace.as_ref().is_none_or(|before| *before == namespace);
        self.namespace = Some(namespace.clone());
        if !same {
            self.read = None;
            return Err("the namespace was changed, and all that is kept is read again".into());
        }
        let too_many = rows.len() > usize::try_from(MOST_AT_ONCE).unwrap_or(usize::MAX);
        let continuity = match self.read {
            _ if too_many => Continuity::TooMany,
            Some(read) if read >= trimmed => Continuity::Unbroken,
            _ => Continuity::Broken,
        };
        if too_many {
            rows.clear();
        }
        if self.read != Some(last) {
            self.unacknowledged = Some(last);
        }
        self.read = Some(last);
        let seal = meta.try_get::<&[u8], _>("seal")?.try_into()?;
        Ok(FeedPage {
            continuity,
            origin: Origin {
                name: format!("sqlite-{namespace}").into(),
                seal: SealKey::from_bytes(seal),
            },
            changes: rows.iter().map(change).collect::<Result<_, _>>()?,
            ages: rows.iter().map(age).collect::<Result<_, _>>()?,
        })
    }

    /// The last change there is in the file.
    async fn last_change(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(LAST_CHANGE).fetch_one(self.store.readers()).await
    }
}

fn age(row: &SqliteRow) -> Result<Duration, DecodeError> {
    let seconds: f64 = row.try_get("age")?;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

impl FeedReader for SqliteFeedReader {
    async fn poll(&mut self) -> Result<FeedPage, LookupError> {
        // Before the first poll, so that those who wait know of whoever may be serving.
        let registered = timeout(REGISTER_DEADLINE, self.registration.register()).await;
        registered.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)?;
        let page = timeout(POLL_DEADLINE, self.poll_file()).await;
        page.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)
    }

    async fn acknowledge(&mut self) -> Result<(), LookupError> {
        let applied = self.unacknowledged;
        let done = timeout(REGISTER_DEADLINE, self.registration.acknowledge(applied)).await;
        done.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)?;
        self.unacknowledged = None;
        Ok(())
    }

    async fn hint(&mut self) {
        // A file notifies nobody, but to look whether something has come is cheap.
        while let Ok(last) = self.last_change().await
            && self.read.is_some_and(|read| read == last)
        {
            sleep(GLANCE).await;
        }
    }

    async fn leave(self) {
        let _ = timeout(POLL_DEADLINE, self.registration.leave()).await;
    }
}
