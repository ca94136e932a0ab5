//! The store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Actor, ChangeObservers, Clock, Issuer, Key, KeyDigest, KeyLookup, KeyPatch, KeyQuery,
    KeyRecord, KeyRef, KeyStatus, KeyStore, Keyring, LookupError, NewSecret, Patch, RequestName,
    StoreError, StoreErrorKind, Timestamp,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgPool, SqlStr};
use tokio::sync::RwLock;

use crate::OpenError;
use crate::allowance::{Choice, choose};
use crate::keys::{insert_key, lock_key, lock_live_key, read_key, update_key, uuid};
use crate::requests::{forget_request, note_request};
use crate::row::{self, key_columns};
use crate::schema::Schema;
use crate::search::list_keys;
use crate::secrets::{end_secrets, insert_secret, require_secret_allowed};
use crate::statement::{execute, require_binding};
use crate::time::{PgTime, optional};
use crate::transaction::change_with;

/// How long a request waits for the record of its key. A little more than caches do, so that
/// they can say that it was they who gave up.
const LOOKUP_DEADLINE: Duration = Duration::from_millis(1_100);
/// How long it waits for a replica before it asks the primary.
const REPLICA_DEADLINE: Duration = Duration::from_millis(300);

/// Keys, owners, groups and tenants in a schema of a PostgreSQL database.
///
/// See the [crate docs](crate) for an example. Cloning gives another handle to the same
/// connections.
#[derive(Clone)]
pub struct PostgresStore {
    issuer: Issuer,
    schema: Schema,
    pool: PgPool,
    replica: Option<PgPool>,
    /// For sessions of our own: the feed and migrations.
    direct: Arc<PgConnectOptions>,
    observers: Arc<ChangeObservers>,
    /// Held for reading from a commit until its changes are told. Whoever finds that there is
    /// nothing left to change waits for it, so that it was told when the call returns.
    telling: Arc<RwLock<()>>,
    find: SqlStr,
    /// As whose changes are noted.
    actor: Option<Actor>,
    /// What it creates for.
    request: Option<RequestName>,
}

impl PostgresStore {
    pub(crate) fn from_parts(
        issuer: Issuer,
        schema: Schema,
        pool: PgPool,
        direct: PgConnectOptions,
    ) -> Self {
        Self {
            find: schema.sql(LOOKUP),
            issuer,
            schema,
            pool,
            replica: None,
            direct: Arc::new(direct),
            observers: Arc::default(),
            telling: Arc::default(),
            actor: None,
            request: None,
        }
    }

    /// Issues by another keyring or clock.
    #[must_use]
    pub fn with_issuer(self, issuer: Issuer) -> Self {
        Self { issuer, ..self }
    }

    /// Keeps everything in another schema than `keyauth`.
    ///
    /// # Errors
    ///
    /// [`InvalidSchemaName`](crate::OpenErrorKind::InvalidSchemaName).
    pub fn with_schema(self, name: &str) -> Result<Self, OpenError> {
        let schema = Schema::new(name)?;
        Ok(Self { find: schema.sql(LOOKUP), schema, ..self })
    }

    /// Connects by other options where a session must be one: for migrations, and for the
    /// feed of changes, which is polled and listened to on one connection for each instance.
    ///
    /// They must lead to the primary, and not through a pooler in transaction mode: `LISTEN` would stay
    /// on connections that others get, who then take notifications for a broken protocol. Without
    /// `LISTEN` the feed works all the same, and changes made elsewhere arrive with its next poll.
    #[must_use]
    pub fn with_direct(self, options: PgConnectOptions) -> Self {
        Self { direct: Arc::new(options), ..self }
    }

    /// Lets a replica answer lookups of caches, which notice what is older than a change they
    /// know of and ask the primary then. Whoever looks up without a cache asks the primary.
    ///
    /// The replica must not lag by half an hour or more.
    #[must_use]
    pub fn with_replica(self, replica: PgPool) -> Self {
        Self { replica: Some(replica), ..self }
    }

    /// The pool it uses.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
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

    pub(crate) const fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn direct(&self) -> &PgConnectOptions {
        &self.direct
    }

    pub(crate) fn issuer_clock(&self) -> &Arc<dyn Clock> {
        self.issuer.clock()
    }

    pub(crate) fn observers(&self) -> &ChangeObservers {
        &self.observers
    }

    pub(crate) fn telling(&self) -> &RwLock<()> {
        &self.telling
    }

    async fn find_on(
        &self,
        pool: &PgPool,
        digest: &KeyDigest,
        deadline: Duration,
    ) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        let found = sqlx::query(self.find.clone()).bind(digest.as_bytes().as_slice());
        let found = tokio::time::timeout(deadline, found.fetch_optional(pool)).await;
        let found = match found.map_err(LookupError::unavailable)? {
            // Every connection was busy with other lookups for as long as one may wait.
            Err(sqlx::Error::PoolTimedOut) => return Err(LookupError::overloaded()),
            outcome => outcome.map_err(lookup_error)?,
        };
        let record = found.as_ref().map(row::record).transpose();
        record.map(|record| record.map(Arc::new)).map_err(LookupError::unavailable)
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
     coalesce(o.rate_multiplier, g.rate_multiplier)::text AS rate_multiplier, \
     u.status AS subscription_status, u.ends_at AS subscription_ends_at, \
     d.version AS everything_version, t.version AS tenant_version, \
     o.version AS owner_version, g.version AS group_version, k.version AS key_version \
     FROM keyauth.secrets AS s \
     JOIN keyauth.keys AS k ON k.id = s.key_id \
     JOIN keyauth.tenants AS t ON t.id = k.tenant \
     JOIN keyauth.owners AS o ON o.tenant = k.tenant AND o.id = k.owner \
     JOIN keyauth.deployment AS d ON d.only_row \
     LEFT JOIN keyauth.groups AS g ON g.tenant = k.tenant AND g.id = k.group_id \
     LEFT JOIN keyauth.memberships AS m \
     ON m.tenant = k.tenant AND m.group_id = k.group_id AND m.owner = k.owner \
     LEFT JOIN keyauth.subscriptions AS u \
     ON u.tenant = k.tenant AND u.group_id = k.group_id AND u.owner = k.owner "
        )
    };
}

/// The statement of a lookup, by the secret's digest: for benchmarks, which send the same.
#[doc(hidden)]
pub const LOOKUP: &str = concat!(select_record!(), "WHERE s.digest = $1");

/// By the newest secret: the one without an end.
const RECORD: &str = concat!(
    select_record!(),
    "WHERE k.id = $1 AND k.tenant = $2 AND k.deleted_at IS NULL \
     ORDER BY s.ends_at IS NOT NULL, s.created_at DESC LIMIT 1"
);

/// Says what to do where the schema is not there, or older than this code.
fn lookup_error(error: sqlx::Error) -> LookupError {
    let code = error.as_database_error().and_then(|error| error.code());
    // Undefined table, column, schema.
    match code.as_deref() {
        Some("42P01" | "42703" | "3F000") => LookupError::unavailable(format!(
            "the schema is missing or older than this code; `PostgresStore::migrate` makes it: \
             {error}"
        )),
        _ => LookupError::unavailable(error),
    }
}

impl fmt::Debug for PostgresStore {
    // By hand, because connection options know a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.schema)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl KeyLookup for PostgresStore {
    fn keyring(&self) -> &Keyring {
        self.issuer.keyring()
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        self.find_on(&self.pool, digest, LOOKUP_DEADLINE).await
    }

    async fn find_perhaps_stale(
        &self,
        digest: &KeyDigest,
    ) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        if let Some(replica) = &self.replica {
            match self.find_on(replica, digest, REPLICA_DEADLINE).await {
                Ok(Some(found)) => return Ok(Some(found)),
                // It may not have heard of the key yet.
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the replica gave no answer"),
            }
        }
        self.find(digest).await
    }
}

impl KeyStore for PostgresStore {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    async fn insert(&self, key: &Key, secret: &NewSecret) -> Result<(), StoreError> {
        let schema = self.schema();
        let inserted = change_with!(self, |connection| {
            let request = self.request();
            note_request(connection, schema, request, key.id).await?;
            require_secret_allowed(connection, schema, &key.tenant, secret).await?;
            if choose(connection, schema, key, secret).await? == Choice::Taken {
                forget_request(connection, schema, request).await?;
                return Ok(Choice::Taken);
            }
            insert_key(connection, schema, key).await?;
            insert_secret(connection, schema, key.id, secret).await?;
            Ok(Choice::Free)
        });
        inserted?.require_free()
    }

    async fn key(&self, key: &KeyRef) -> Result<Key, StoreError> {
        read_key(&mut *self.acquire().await?, self.schema(), key).await
    }

    async fn record(&self, key: &KeyRef) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let connection = &mut *self.acquire().await?;
        let found = sqlx::query(self.schema().sql(RECORD))
            .bind(uuid(key.id))
            .bind(key.tenant.as_str())
            .fetch_optional(&mut *connection)
            .await
            .map_err(StoreError::unavailable)?;
        match found {
            Some(row) => row::record(&row)
                .map(|record| Some(Arc::new(record)))
                .map_err(StoreError::unavailable),
            None => read_key(connection, self.schema(), key).await.map(|_| None),
        }
    }

    async fn keys(&self, query: &KeyQuery) -> Result<Vec<Key>, StoreError> {
        query.check()?;
        let mut statement = list_keys(self.schema(), query);
        let rows = statement.build().fetch_all(&self.pool).await;
        let rows = rows.map_err(StoreError::unavailable)?;
        rows.iter().map(row::key).collect::<Result<_, _>>().map_err(StoreError::unavailable)
    }

    async fn apply(&self, key: &KeyRef, patch: &KeyPatch) -> Result<Key, StoreError> {
        let schema = self.schema();
        change_with!(self, |connection| {
            let old = lock_live_key(connection, schema, key).await?;
            if let Patch::Set(group) = &patch.group {
                require_binding(connection, schema, &old, group, patch.updated_at).await?;
            }
            let new = patch.applied_to(&old)?;
            update_key(connection, schema, key.id, patch).await?;
            Ok(new)
        })
    }

    async fn set_status(
        &self,
        key: &KeyRef,
        status: KeyStatus,
        now: Timestamp,
    ) -> Result<Key, StoreError> {
        let schema = self.schema();
        change_with!(self, |connection| {
            let old = lock_key(connection, schema, key).await?;
            if old.status == status {
                return Ok(old);
            }
            if old.status == KeyStatus::Revoked {
                return Err(StoreErrorKind::Revoked.into());
            }
            let revoked_at = (status == KeyStatus::Revoked).then_some(now);
            let statement = schema.sql(
                "UPDATE keyauth.keys SET status = $1, revoked_at = $2, updated_at = $3 \
                 WHERE id = $4",
            );
            let statement = sqlx::query(statement)
                .bind(status.as_str())
                .bind(optional(revoked_at))
                .bind(PgTime(now))
                .bind(uuid(key.id));
            execute(connection, statement).await?;
            Ok(Key { status, revoked_at, updated_at: now, ..old })
        })
    }

    async fn remove(&self, key: &KeyRef, now: Timestamp) -> Result<(), StoreError> {
        let schema = self.schema();
        change_with!(self, |connection| {
            lock_key(connection, schema, key).await?;
            let statement = schema.sql(
                "UPDATE keyauth.keys SET status = 'revoked', group_id = NULL, deleted_at = $1, \
                 revoked_at = coalesce(revoked_at, $1), updated_at = $1 WHERE id = $2",
            );
            let statement = sqlx::query(statement).bind(PgTime(now)).bind(uuid(key.id));
            execute(connection, statement).await?;
            for statement in [
                "DELETE FROM keyauth.secrets WHERE key_id = $1",
                "DELETE FROM keyauth.imported_secrets WHERE key_id = $1",
            ] {
                let statement = sqlx::query(schema.sql(statement)).bind(uuid(key.id));
                execute(connection, statement).await?;
            }
            Ok(())
        })
    }

    async fn add_secret(
        &self,
        key: &KeyRef,
        secret: &NewSecret,
        old_ends_at: Timestamp,
    ) -> Result<Key, StoreError> {
        let schema = self.schema();
        let added = change_with!(self, |connection| {
            let request = self.request();
            note_request(connection, schema, request, key.id).await?;
            let old = lock_live_key(connection, schema, key).await?;
            require_secret_allowed(connection, schema, &key.tenant, secret).await?;
            if choose(connection, schema, &old, secret).await? == Choice::Taken {
                forget_request(connection, schema, request).await?;
                return Ok((old, Choice::Taken));
            }
            end_secrets(connection, schema, (key.id, secret), old_ends_at).await?;
            insert_secret(connection, schema, key.id, secret).await?;
            let statement =
                schema.sql("UPDATE keyauth.keys SET hint = $1, updated_at = $2 WHERE id = $3");
            let statement = sqlx::query(statement)
                .bind(secret.hint.as_str())
                .bind(PgTime(secret.created_at))
                .bind(uuid(key.id));
            execute(connection, statement).await?;
            let new = Key { hint: secret.hint.clone(), updated_at: secret.created_at, ..old };
            Ok((new, Choice::Free))
        });
        let (key, choice) = added?;
        choice.require_free().map(|()| key)
    }
}
