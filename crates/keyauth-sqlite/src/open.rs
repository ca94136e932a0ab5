//! Opening a file.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use keyauth_core::Issuer;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::{SqliteStore, migrate};

/// How long a writer waits for the one before it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for a connection before it gives up.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections in the pool: SQLite has one writer, and reads are short.
const CONNECTIONS: u32 = 8;

impl SqliteStore {
    /// Opens a file, creating it where there is none, and brings its schema up to date.
    ///
    /// A new file is readable and writable by its owner alone.
    ///
    /// # Errors
    ///
    /// [`NewerSchema`](OpenErrorKind::NewerSchema) where a newer version wrote the file;
    /// [`Unavailable`](OpenErrorKind::Unavailable) where it cannot be opened or is no
    /// SQLite file.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        create_private(path).map_err(OpenError::unavailable)?;
        let pool = connect(path).await?;
        migrate::run(&pool).await?;
        Ok(Self::from_parts(Issuer::new(), pool))
    }

    /// Connects to a file that is there and up to date. Neither creates nor migrates.
    ///
    /// # Errors
    ///
    /// [`NewerSchema`](OpenErrorKind::NewerSchema) and
    /// [`OlderSchema`](OpenErrorKind::OlderSchema) where the file is of another version;
    /// [`Unavailable`](OpenErrorKind::Unavailable) where it cannot be opened.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let pool = connect(path.as_ref()).await?;
        migrate::check(&pool).await?;
        Ok(Self::from_parts(Issuer::new(), pool))
    }
}

async fn connect(path: &Path) -> Result<SqlitePool, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Less would let the last changes, a revocation among them, go with the power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options);
    pool.await.map_err(OpenError::unavailable)
}

fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// A file could not be opened.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why a file could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// A newer version of keyauth wrote the file.
    NewerSchema {
        /// The file's schema version.
        found: i64,
        /// The newest version this code knows.
        known: i64,
    },
    /// The file needs migrations, which `open` runs and `connect` does not.
    OlderSchema {
        /// The file's schema version; zero where it has none.
        found: i64,
        /// The version this code needs.
        known: i64,
    },
    /// The file is not there, not accessible, or no SQLite file.
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
                "the key file has schema version {found}, and this version of keyauth knows \
                 only {known}; use the newer one that wrote it"
            ),
            OpenErrorKind::OlderSchema { found, known } => write!(
                f,
                "the key file has schema version {found}, and {known} is needed; \
                 `SqliteStore::open` migrates it"
            ),
            OpenErrorKind::Unavailable => f.write_str("the key file could not be opened"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
