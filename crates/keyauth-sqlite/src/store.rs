//! The store.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Actor, ChangeObservers, Issuer, Key, KeyDigest, KeyLookup, KeyPatch, KeyQuery, KeyRecord,
    KeyRef, KeyStatus, KeyStore, Keyring, LookupError, NewSecret, Patch, RequestName, StoreError,
    StoreErrorKind, Timestamp,
};
use sqlx::SqlitePool;
use tokio::sync::RwLock;

use crate::allowance::{Choice, choose};
use crate::keys::{insert_key, read_key, read_live_key, update_key};
use crate::requests::{forget_request, note_request};
use crate::row::{self, key_columns};
use crate::search::list_keys;
use crate::secrets::{end_secrets, insert_secret, require_secret_allowed};
use crate::statement::{execute, require_binding};

/// How long a request waits for the record of its key. A little more than for a connection,
/// so that a queue that is too long is told from a disk that does not answer.
const LOOKUP_DEADLINE: Duration = Duration::from_millis(1_100);

/// Keys, owners, groups and tenants in one SQLite file.
///
/// See the [crate docs](crate) for an example. Cloning gives another handle to the same
/// connections.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    issuer: Issuer,
    pools: Pools,
    observers: Arc<ChangeObservers>,
    telling: Arc<RwLock<()>>,
    /// As whose changes are noted.
    actor: Option<Actor>,
    /// What it creates for.
    request: Option<RequestName>,
}

/// Connections, of which those for one thing wait for no other.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    /// For what is short: lookups above all.
    pub(crate) readers: SqlitePool,
    /// For reading usage.
    pub(crate) reports: SqlitePool,
    /// For what limits begin with.
    pub(crate) sums: SqlitePool,
    /// One connection, since SQLite has one writer at a time.
    pub(crate) writer: SqlitePool,
}

impl SqliteStore {
    pub(crate) fn from_parts(issuer: Issuer, pools: Pools) -> Self {
        let (observers, telling) = (Arc::default(), Arc::default());
        Self { issuer, pools, observers, telling, actor: None, request: None }
    }

    /// Issues by another keyring or clock.
    #[must_use]
    pub fn with_issuer(self, issuer: Issuer) -> Self {
        Self { issuer, ..self }
    }

    /// Closes the file once all calls under way have ended.
    pub async fn close(&self) {
        let Pools { readers, reports, sums, writer } = &self.pools;
        for pool in [readers, reports, sums, writer] {
            pool.close().await;
        }
    }

    pub(crate) const fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    pub(crate) fn with_actor(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }

    pub(crate) const fn request(&self) -> Option<&RequestName> {
        self.request.as_ref()
    }

    pub(crate) fn with_request(self, request: RequestName) -> Self {
        Self { request: Some(request), ..self }
    }

    pub(crate) const fn readers(&self) -> &SqlitePool {
        &self.pools.readers
    }

    pub(crate) const fn reports(&self) -> &SqlitePool {
        &self.pools.reports
    }

    pub(crate) const fn sums(&self) -> &SqlitePool {
        &self.pools.sums
    }

    pub(crate) const fn writer(&self) -> &SqlitePool {
        &self.pools.writer
    }

    pub(crate) fn observers(&self) -> &ChangeObservers {
        &self.observers
    }

    pub(crate) fn telling(&self) -> &RwLock<()> {
        &self.telling
    }
}

/// Everything that decides about a key, and one of its secrets.
macro_rules! select_record {
    () => {
        concat!(
            "SELECT ",
            key_columns!(),
            ", s.id AS secret_id, s.ends_at AS secret_ends_at, \
             t.status AS tenant_status, o.status AS owner_status, \
             g.status AS group_status, g.kind AS group_kind, m.owner IS NOT NULL AS member, \
             t.limits AS tenant_limits, o.limits AS owner_limits, g.limits AS group_limits, \
             t.budgets AS tenant_budgets, o.budgets AS owner_budgets, \
             g.budgets AS group_budgets, \
             coalesce(o.rate_multiplier, g.rate_multiplier) AS rate_multiplier, \
             u.status AS subscription_status, u.ends_at AS subscription_ends_at, \
             d.version AS everything_version, t.version AS tenant_version, \
             o.version AS owner_version, g.version AS group_version, k.version AS key_version \
             FROM secrets AS s \
             JOIN keys AS k ON k.id = s.key_id \
             JOIN tenants AS t ON t.id = k.tenant \
             JOIN owners AS o ON o.tenant = k.tenant AND o.id = k.owner \
             JOIN deployment AS d ON d.only_row = 1 \
             LEFT JOIN groups AS g ON g.tenant = k.tenant AND g.id = k.group_id \
             LEFT JOIN memberships AS m \
             ON m.tenant = k.tenant AND m.group_id = k.group_id AND m.owner = k.owner \
             LEFT JOIN subscriptions AS u \
             ON u.tenant = k.tenant AND u.group_id = k.group_id AND u.owner = k.owner "
        )
    };
}

/// The statement of a lookup, by the secret's digest: for benchmarks, which send the same.
#[doc(hidden)]
pub const LOOKUP: &str = concat!(select_record!(), "WHERE s.digest = ?");

impl KeyLookup for SqliteStore {
    fn keyring(&self) -> &Keyring {
        self.issuer.keyring()
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        let found = sqlx::query(LOOKUP).bind(digest.as_bytes().as_slice());
        let found =
            tokio::time::timeout(LOOKUP_DEADLINE, found.fetch_optional(&self.pools.readers));
        let found = match found.await.map_err(LookupError::unavailable)? {
            // Every connection was busy with other lookups for as long as one may wait.
            Err(sqlx::Error::PoolTimedOut) => return Err(LookupError::overloaded()),
            outcome => outcome.map_err(LookupError::unavailable)?,
        };
        match found {
            Some(row) => {
                row::record(&row).map(Arc::new).map(Some).map_err(LookupError::unavailable)
            }
            None => Ok(None),
        }
    }
}

impl KeyStore for SqliteStore {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    async fn insert(&self, key: &Key, secret: &NewSecret) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let request = self.request();
        note_request(&mut transaction, request, (key.id, secret.created_at)).await?;
        require_secret_allowed(&mut transaction, &key.tenant, secret).await?;
        if choose(&mut transaction, key, secret).await? == Choice::Taken {
            forget_request(&mut transaction, request).await?;
            transaction.commit().await?;
            return Err(StoreErrorKind::Taken.into());
        }
        insert_key(&mut transaction, key).await?;
        insert_secret(&mut transaction, key.id, secret).await?;
        transaction.commit().await
    }

    async fn key(&self, key: &KeyRef) -> Result<Key, StoreError> {
        read_key(&mut *self.acquire().await?, key).await
    }

    async fn record(&self, key: &KeyRef) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        // By the newest secret: the one without an end.
        const RECORD: &str = concat!(
            select_record!(),
            "WHERE k.id = ? AND k.tenant = ? AND k.deleted_at IS NULL \
             ORDER BY s.ends_at IS NOT NULL, s.created_at DESC LIMIT 1"
        );
        let connection = &mut *self.acquire().await?;
        let found = sqlx::query(RECORD)
            .bind(key.id.as_bytes().as_slice())
            .bind(key.tenant.as_str())
            .fetch_optional(&mut *connection)
            .await
            .map_err(StoreError::unavailable)?;
        match found {
            Some(row) => row::record(&row)
                .map(|record| Some(Arc::new(record)))
                .map_err(StoreError::unavailable),
            None => read_key(connection, key).await.map(|_| None),
        }
    }

    async fn keys(&self, query: &KeyQuery) -> Result<Vec<Key>, StoreError> {
        query.check()?;
        let mut statement = list_keys(query);
        let rows = statement.build().fetch_all(&self.pools.readers).await;
        let rows = rows.map_err(StoreError::unavailable)?;
        rows.iter().map(row::key).collect::<Result<_, _>>().map_err(StoreError::unavailable)
    }

    async fn apply(&self, key: &KeyRef, patch: &KeyPatch) -> Result<Key, StoreError> {
        let mut transaction = self.begin().await?;
        let old = read_live_key(&mut transaction, key).await?;
        if let Patch::Set(group) = &patch.group {
            require_binding(&mut transaction, &old, group, patch.updated_at).await?;
        }
        let new = patch.applied_to(&old)?;
        update_key(&mut transaction, key.id, patch).await?;
        transaction.commit().await?;
        Ok(new)
    }

    async fn set_status(
        &self,
        key: &KeyRef,
        status: KeyStatus,
        now: Timestamp,
    ) -> Result<Key, StoreError> {
        let mut transaction = self.begin().await?;
        let old = read_key(&mut transaction, key).await?;
        if old.status == status {
            transaction.commit().await?;
            return Ok(old);
        }
        if old.status == KeyStatus::Revoked {
            return Err(StoreErrorKind::Revoked.into());
        }
        let revoked_at = (status == KeyStatus::Revoked).then_some(now);
        let statement =
            sqlx::query("UPDATE keys SET status = ?, revoked_at = ?, updated_at = ? WHERE id = ?")
                .bind(status.as_str())
                .bind(revoked_at.map(Timestamp::as_micros))
                .bind(now.as_micros())
                .bind(key.id.as_bytes().as_slice());
        execute(&mut transaction, statement).await?;
        transaction.commit().await?;
        Ok(Key { status, revoked_at, updated_at: now, ..old })
    }

    async fn remove(&self, key: &KeyRef, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        read_key(&mut transaction, key).await?;
        let statement = sqlx::query(
            "UPDATE keys SET status = 'revoked', group_id = NULL, deleted_at = ?1, \
             revoked_at = coalesce(revoked_at, ?1), updated_at = ?1 WHERE id = ?2",
        )
        .bind(now.as_micros())
        .bind(key.id.as_bytes().as_slice());
        execute(&mut transaction, statement).await?;
        for statement in [
            "DELETE FROM secrets WHERE key_id = ?",
            "DELETE FROM imported_secrets WHERE key_id = ?",
        ] {
            let statement = sqlx::query(statement).bind(key.id.as_bytes().as_slice());
            execute(&mut transaction, statement).await?;
        }
        transaction.commit().await
    }

    async fn add_secret(
        &self,
        key: &KeyRef,
        secret: &NewSecret,
        old_ends_at: Timestamp,
    ) -> Result<Key, StoreError> {
        let mut transaction = self.begin().await?;
        let request = self.request();
        note_request(&mut transaction, request, (key.id, secret.created_at)).await?;
        let old = read_live_key(&mut transaction, key).await?;
        require_secret_allowed(&mut transaction, &key.tenant, secret).await?;
        if choose(&mut transaction, &old, secret).await? == Choice::Taken {
            forget_request(&mut transaction, request).await?;
            transaction.commit().await?;
            return Err(StoreErrorKind::Taken.into());
        }
        end_secrets(&mut transaction, (key.id, secret), old_ends_at).await?;
        insert_secret(&mut transaction, key.id, secret).await?;
        let statement = sqlx::query("UPDATE keys SET hint = ?, updated_at = ? WHERE id = ?")
            .bind(secret.hint.as_str())
            .bind(secret.created_at.as_micros())
            .bind(key.id.as_bytes().as_slice());
        execute(&mut transaction, statement).await?;
        transaction.commit().await?;
        Ok(Key { hint: secret.hint.clone(), updated_at: secret.created_at, ..old })
    }
}
