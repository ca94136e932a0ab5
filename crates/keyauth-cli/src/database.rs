//! The database that is named by a URL.

use std::fmt;
use std::path::PathBuf;

use keyauth_core::Issuer;
use keyauth_postgres::{OpenErrorKind as PostgresErrorKind, PostgresStore};
use keyauth_sqlite::{OpenErrorKind, SqliteStore};
use sqlx::postgres::PgConnectOptions;

use crate::settings::StoreSettings;
use crate::told::{Failure, causes};

/// Which one it is.
pub(crate) enum Database {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// Where it is, without having been there.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Place {
    File(PathBuf),
    Server { pooled: PgConnectOptions, direct: PgConnectOptions },
}

impl Place {
    /// Reads URLs; `direct` leads around a pooler of connections. What is wrong with one is not
    /// repeated: it may have a password in it.
    pub(crate) fn read(url: &str, direct: Option<&str>) -> Result<Self, Failure> {
        const KINDS: &str = "database: must be sqlite://FILE or postgres://USER@HOST/NAME";
        match url.split_once("://") {
            Some(("sqlite", file)) if !file.is_empty() && direct.is_none() => {
                Ok(Self::File(file.into()))
            }
            Some(("sqlite", file)) if !file.is_empty() => {
                Err(Failure::usage("direct-database: is for PostgreSQL alone"))
            }
            Some(("postgres" | "postgresql", _)) => {
                let pooled: PgConnectOptions = url.parse().map_err(|_| Failure::usage(KINDS))?;
                let direct = direct.map(str::parse).transpose();
                let direct = direct.map_err(|_| {
                    Failure::usage("direct-database: must be postgres://USER@HOST/NAME")
                })?;
                let direct = direct.unwrap_or_else(|| pooled.clone());
                Ok(Self::Server { pooled, direct })
            }
            _ => Err(Failure::usage(KINDS)),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Server { .. } => f.debug_struct("Server").finish_non_exhaustive(),
        }
    }
}

impl Database {
    /// Opens it. A file is created, and brought up to date.
    pub(crate) async fn open(settings: &StoreSettings) -> Result<Self, Failure> {
        Self::open_by(settings, SqliteStore::open).await
    }

    /// Opens one that is there, and up to date where it is a file: whoever looks changes nothing.
    pub(crate) async fn open_there(settings: &StoreSettings) -> Result<Self, Failure> {
        if let Place::File(file) = &settings.database
            && !file.exists()
        {
            return Err(Failure::no_answer(format!(
                "{} is not there; name the database with --database, or a server with --server; \
                 `keyauth migrate` makes a file",
                file.display()
            )));
        }
        Self::open_by(settings, SqliteStore::connect).await
    }

    async fn open_by<'s, F>(
        settings: &'s StoreSettings,
        open: impl FnOnce(&'s PathBuf) -> F,
    ) -> Result<Self, Failure>
    where
        F: Future<Output = Result<SqliteStore, keyauth_sqlite::OpenError>>,
    {
        let issuer = Issuer::new().with_keyring(settings.keyring.clone());
        match &settings.database {
            Place::File(file) => {
                let unopened = || format!("{} cannot be opened", file.display());
                let store = open(file).await.map_err(|error| match error.kind() {
                    OpenErrorKind::OlderSchema { found: 0, .. } => Failure::unmigrated(format!(
                        "{} is no database of keyauth; if it is to be one, run `keyauth migrate` \
                         with it",
                        file.display()
                    )),
                    OpenErrorKind::OlderSchema { .. } => Failure::unmigrated(format!(
                        "{} was made by an older version; run `keyauth migrate` with the same \
                         database",
                        file.display()
                    )),
                    OpenErrorKind::NewerSchema { .. } => Failure::other(&unopened(), &error),
                    _ => Failure::away(&unopened(), &error),
                })?;
                Ok(Self::Sqlite(store.with_issuer(issuer)))
            }
            Place::Server { pooled, direct } => {
                let store = PostgresStore::connect_with(pooled.clone()).await;
                let store = store.map_err(|error| away(&error))?;
                Ok(Self::Postgres(store.with_direct(direct.clone()).with_issuer(issuer)))
            }
        }
    }

    /// Lets go of it.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(_) => {}
        }
    }

    /// Refuses to go on where a database must be migrated first.
    pub(crate) async fn require_migrated(&self) -> Result<(), Failure> {
        let Self::Postgres(store) = self else { return Ok(()) };
        let pending = store.pending_migrations().await.map_err(|error| away(&error))?;
        if pending.is_empty() {
            return Ok(());
        }
        Err(Failure::unmigrated(format!(
            "the database's schema lacks {} migrations; run `keyauth migrate` with the same \
             database, as a role that may create it",
            pending.len()
        )))
    }
}

/// Whether the server has said no, and will say so again: who asks, the database or its rights (classes
/// 28, 3D and 42 of SQLSTATE).
fn is_refused(error: &keyauth_postgres::OpenError) -> bool {
    let source = std::error::Error::source(error).and_then(|error| error.downcast_ref());
    let code = source.and_then(|error: &sqlx::Error| error.as_database_error()?.code());
    code.is_some_and(|code| ["28", "3D", "42"].iter().any(|class| code.starts_with(class)))
}

/// Asking again helps only where nobody has answered.
pub(crate) fn away(error: &keyauth_postgres::OpenError) -> Failure {
    let message = causes(error);
    match error.kind() {
        PostgresErrorKind::NewerSchema { .. } => Failure::failed(message),
        _ if is_refused(error) => Failure::failed(message),
        _ => Failure::no_answer(message),
    }
}
