//! API keys in PostgreSQL, for any number of instances, and the feed of their changes.
//!
//! ```no_run
//! use keyauth_core::{Authenticator, KeyStore, NewKey, RequestFacts};
//! use keyauth_postgres::PostgresStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = PostgresStore::connect("postgres://localhost/app").await?;
//! store.migrate().await?;
//! let key = store.issue(NewKey::named("ci")).await?;
//!
//! let auth = Authenticator::new(store.clone());
//! assert!(auth.verify(key.reveal(), &RequestFacts::new()).await?.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! `keyauth_cache::CachedLookup::new(store)` in front of it makes a busy key cost one read
//! instead of one per request, and what is revoked on any instance, or by an `UPDATE` in
//! `psql`, is refused on all of them within milliseconds.
//!
//! The rules it keeps:
//!
//! * A lookup is one statement with one index probe for each table it joins, outside of any
//!   transaction of the caller's.
//! * Triggers raise versions and tell of changes, so that it does not matter who makes one.
//! * Nothing is migrated unless [`PostgresStore::migrate`] is called. The statements are plain
//!   SQL, in `migrations/` and from [`PostgresStore::migrations`].
//! * Only digests arrive.
//!
//! What it asks of the server: PostgreSQL 13 or later, `synchronous_commit` not turned off,
//! since a change that a crash takes back was told to caches all the same.
//!
//! No TLS and no runtime is chosen here. Turn on features of [`sqlx`], which is the crate to
//! make pools with: `sqlx = { version = "0.9", features = ["runtime-tokio", "tls-rustls"] }`.
//!
//! Poolers like pgbouncer in transaction mode keep neither the session that the feed is read
//! in nor `LISTEN`: give [`PostgresStore::with_direct`] a way around. The pool for lookups may
//! go through one that knows prepared statements (pgbouncer 1.21, `max_prepared_statements`).

mod allowance;
mod audit_log;
mod change;
mod directory;
mod feed;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod groups;
mod imports;
mod instance;
mod keys;
mod ledger;
mod migrate;
mod open;
mod owners;
mod peppers;
#[cfg(test)]
mod plans;
mod propagation;
mod relations;
mod requests;
mod row;
mod schema;
mod search;
mod secrets;
mod statement;
mod store;
mod tenants;
mod time;
mod transaction;
mod usage_log;
mod usage_reader;

pub use feed::PostgresFeedReader;
pub use migrate::Migration;
pub use open::{OpenError, OpenErrorKind};
pub use sqlx;
pub use store::{LOOKUP, PostgresStore};
