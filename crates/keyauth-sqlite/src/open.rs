//! Opening a file.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use keyauth_core::Issuer;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::store::Pools;
use crate::{SqliteStore, migrate};

/// How long a writer waits for one of another process before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long reading waits for a connection before it gives up.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a change waits for those before it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections for lookups, each of which is short.
const READ_CONNECTIONS: u32 = 4;
/// Connections for what limits begin with.
const SUM_CONNECTIONS: u32 = 1;
/// Connections for reading usage, which may take its time, and how long that waits for one.
const REPORT_CONNECTIONS: u32 = 2;
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before a new file is tried again that another process is setting up.
const SETUP_PAUSE: Duration = Duration::from_millis(20);

impl SqliteStore {
    /// Opens a file, creating it where there is none, and brings its schema up to date.
    ///
    /// A new file is readable and writable by its owner alone.
    ///
    /// # Errors
    ///
    /// [`NewerSchema`](OpenErrorKind::NewerSchema) where a newer version wrote the file;
    /// [`Unavailable`](OpenErrorKind::Unavailable) where it cannot be opened, is no
    /// SQLite file, or has one of the names that SQLite takes for something else, like
    /// `:memory:`.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        refuse_special(path)?;
        create_private(path).map_err(OpenError::unavailable)?;
        // The file remembers its journal mode.
        let options = options(path);
        let write_ahead = options.clone().journal_mode(SqliteJournalMode::Wal);
        let writer = connect(&write_ahead, 1, WRITE_TIMEOUT).await?;
        migrate::run(&writer).await?;
        let readers = connect(&options, READ_CONNECTIONS, READ_TIMEOUT).await?;
        let reports = connect(&options, REPORT_CONNECTIONS, REPORT_TIMEOUT).await?;
        let sums = connect(&options, SUM_CONNECTIONS, READ_TIMEOUT).await?;
        Ok(Self::from_parts(Issuer::new(), Pools { readers, reports, sums, writer }))
    }

    /// Connects to a file that is there and up to date. Neither creates nor migrates.
    ///
    /// # Errors
    ///
    /// [`NewerSchema`](OpenErrorKind::NewerSchema) and
    /// [`OlderSchema`](OpenErrorKind::OlderSchema) where the file is of another version;
    /// [`Unavailable`](OpenErrorKind::Unavailable) as for [`open`](Self::open).
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        refuse_special(path)?;
        let options = options(path);
        let readers = connect(&options, READ_CONNECTIONS, READ_TIMEOUT).await?;
        migrate::check(&readers).await?;
        let reports = connect(&options, REPORT_CONNECTIONS, REPORT_TIMEOUT).await?;
        let sums = connect(&options, SUM_CONNECTIONS, READ_TIMEOUT).await?;
        let writer = connect(&options, 1, WRITE_TIMEOUT).await?;
        Ok(Self::from_parts(Issuer::new(), Pools { readers, reports, sums, writer }))
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        // Less would let the last changes, a revocation among them, go with the power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

async fn connect(
    options: &SqliteConnectOptions,
    connections: u32,
    timeout: Duration,
) -> Result<SqlitePool, OpenError> {
    // All connections at once and for good: one that was opened later, by the same name,
    // could find another file there.
    let pool = SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(timeout);
    // The change to the write-ahead log needs the file for itself, and SQLite does not wait
    // for that: where processes start together, all but one have to try again.
    let attempts = BUSY_TIMEOUT.as_millis() / SETUP_PAUSE.as_millis();
    for _ in 0..attempts {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) => tokio::time::sleep(SETUP_PAUSE).await,
            outcome => return outcome.map_err(OpenError::unavailable),
        }
    }
    pool.connect_with(options.clone()).await.map_err(OpenError::unavailable)
}

/// Whether another process is in the way: `SQLITE_BUSY` in the last byte of its codes.
fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: u32 = 5;
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

/// Names that stand for no file: every connection would get a database of its own.
fn refuse_special(path: &Path) -> Result<(), OpenError> {
    let name = path.to_string_lossy();
    if name.is_empty() || name.starts_with(':') || name.starts_with("file:") {
        return Err(OpenError::unavailable(
            "the name stands for no file; for a store in memory take `keyauth_core::MemoryStore`",
        ));
    }
    Ok(())
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
