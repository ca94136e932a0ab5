//! API keys on one embedded file: durable, without a server.
//!
//! ```
//! use keyauth_core::{Authenticator, KeyStore, NewKey, RequestFacts};
//! use keyauth_sqlite::SqliteStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("keys.db");
//! let store = SqliteStore::open(&file).await?;
//! let key = store.issue(NewKey::named("ci")).await?;
//! # store.close().await;
//!
//! // Some other day:
//! let auth = Authenticator::new(SqliteStore::open(&file).await?);
//! assert!(auth.verify(key.reveal(), &RequestFacts::new()).await?.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! The rules it keeps:
//!
//! * A change that returned is on disk: write-ahead log with `synchronous = FULL`. A
//!   revocation must survive the power cord.
//! * A lookup is one statement. Readers never wait for writers; writers wait for each other.
//! * Only digests arrive. The file is created readable by its owner alone.
//! * The schema's history is in `_keyauth_migrations`. A file of a newer version is refused.
//!
//! While the file is open, leave it where it is: a process whose file was deleted or replaced
//! goes on with the one it had, and what it changes there is lost with it.
//!
//! Several processes may share one file on one machine, not over a network file system.
//! [`sqlx`] is the crate to make pools with.

mod allowance;
mod audit_log;
mod change;
mod directory;
mod feed;
mod groups;
mod imports;
mod instance;
mod keys;
mod ledger;
mod migrate;
mod open;
mod owners;
mod peppers;
mod propagation;
mod relations;
mod requests;
mod row;
mod search;
mod secrets;
mod statement;
mod store;
mod tenants;
mod transaction;
mod usage_log;
mod usage_reader;

pub use feed::SqliteFeedReader;
pub use open::{OpenError, OpenErrorKind};
pub use sqlx;
pub use store::{LOOKUP, SqliteStore};
