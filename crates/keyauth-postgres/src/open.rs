//! Connecting.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use keyauth_core::Issuer;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection, PgPool};

use crate::PostgresStore;
use crate::schema::Schema;

/// Connections of a pool that we make ourselves.
const CONNECTIONS: u32 = 20;
/// How long a call waits for a connection of it.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

impl PostgresStore {
    /// Connects to the server that a URL names, with up to 20 connections.
    ///
    /// Neither creates nor migrates anything; see [`migrate`](Self::migrate). For TLS, turn on
    /// one of the features of [`sqlx`] for it, and ask for it in the URL: `?sslmode=verify-full`.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](OpenErrorKind::Unavailable) where the URL is none, or the server does
    /// not let us in.
    pub async fn connect(url: &str) -> Result<Self, OpenError> {
        Self::connect_with(url.parse().map_err(OpenError::unavailable)?).await
    }

    /// Like [`connect`](Self::connect), with options that were read before.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](OpenErrorKind::Unavailable) where the server does not let us in.
    pub async fn connect_with(options: PgConnectOptions) -> Result<Self, OpenError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await;
        match pool {
            Ok(pool) => Ok(Self::new(pool)),
            // The pool has tried again and again, and does not say what was wrong.
            Err(error @ sqlx::Error::PoolTimedOut) => {
                let attempt = PgConnection::connect_with(&options);
                let cause = tokio::time::timeout(ACQUIRE_TIMEOUT, attempt).await;
                Err(OpenError::unavailable(cause.ok().and_then(Result::err).unwrap_or(error)))
            }
            Err(error) => Err(OpenError::unavailable(error)),
        }
    }

    /// Uses a pool of the caller's. It should have some connections more than lookups ask at
    /// once, and an `acquire_timeout` of seconds.
    ///
    /// Migrations and the feed connect on their own, with the same options. Where the pool
    /// goes through a pooler, give them a way around it:
    /// [`with_direct`](Self::with_direct).
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        let direct = (*pool.connect_options()).clone();
        Self::from_parts(Issuer::new(), Schema::default(), pool, direct)
    }
}

/// The server, or the schema on it, cannot be used.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why the server, or the schema on it, cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// A newer version of keyauth has migrated the schema.
    NewerSchema {
        /// The schema's version.
        found: i64,
        /// The newest version this code knows.
        known: i64,
    },
    /// The name is not a letter or underscore followed by up to 62 letters, digits and
    /// underscores.
    InvalidSchemaName,
    /// The server cannot be reached, or does not do what it is asked to.
    Unavailable,
}

impl OpenError {
    pub(crate) fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: OpenErrorKind::Unavailable, source: Some(source.into()) }
    }

    /// What to branch on.
    #[must_use]
    pub const fn kind(&self) -> OpenErrorKind {
        self.kind
    }
}

impl From<OpenErrorKind> for OpenError {
    fn from(kind: OpenErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            OpenErrorKind::NewerSchema { found, known } => write!(
                f,
                "the schema has version {found}, and this version of keyauth knows only \
                 {known}; use the newer one that migrated it"
            ),
            OpenErrorKind::InvalidSchemaName => f.write_str(
                "a schema name is a letter or underscore and up to 62 letters, digits and \
                 underscores behind it",
            ),
            OpenErrorKind::Unavailable => f.write_str("the PostgreSQL server cannot be used"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
