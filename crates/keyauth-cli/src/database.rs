//! The database that is named by a URL.

use std::path::PathBuf;

use keyauth_core::{Issuer, Keyring};
use keyauth_postgres::PostgresStore;
use keyauth_sqlite::SqliteStore;

use crate::told::Failure;

/// Which one it is.
pub(crate) enum Database {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// Where it is, without having been there.
#[derive(Debug)]
pub(crate) enum Place<'u> {
    File(PathBuf),
    Server(&'u str),
}

impl<'u> Place<'u> {
    pub(crate) fn read(url: &'u str) -> Result<Self, Failure> {
        match url.split_once("://") {
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::File(file.into())),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Server(url)),
            // What is wrong with it is not repeated: it may have a password in it.
            _ => {
                Err(Failure::usage("database: must be sqlite://FILE or postgres://USER@HOST/NAME"))
            }
        }
    }
}

impl Database {
    /// Opens it. A file is created, and brought up to date.
    pub(crate) async fn open(url: &str, keyring: &Keyring) -> Result<Self, Failure> {
        let issuer = Issuer::new().with_keyring(keyring.clone());
        match Place::read(url)? {
            Place::File(file) => {
                let store = SqliteStore::open(&file).await;
                let named = format!("{} cannot be opened", file.display());
                let store = store.map_err(|error| Failure::away(&named, &error))?;
                Ok(Self::Sqlite(store.with_issuer(issuer)))
            }
            Place::Server(url) => {
                let store = PostgresStore::connect(url).await;
                let store = store.map_err(|error| away(&error))?;
                Ok(Self::Postgres(store.with_issuer(issuer)))
            }
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

pub(crate) fn away(error: &keyauth_postgres::OpenError) -> Failure {
    Failure::away("the database cannot be used", error)
}
