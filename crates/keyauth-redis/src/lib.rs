//! API keys over Redis or Valkey: the cache that instances share, hints that something has changed,
//! and limits that a fleet counts together ([`RedisLimits`]).
//!
//! ```rust,no_run
//! use keyauth_cache::CachedLookup;
//! use keyauth_core::MemoryStore;
//! use keyauth_redis::deadpool_redis::{Config, Runtime};
//! use keyauth_redis::{Redis, RedisCache};
//!
//! # fn wire() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Config::from_url("redis://localhost").create_pool(Some(Runtime::Tokio1))?;
//! let redis = Redis::from(pool);
//! let lookup = CachedLookup::new(MemoryStore::new()).with_shared(RedisCache::new(&redis));
//! # Ok(())
//! # }
//! ```
//!
//! The application brings its own client: a pool of `deadpool-redis` (feature `deadpool`, the
//! default) of one server or a cluster, or a client or pool of `fred` (feature `fred`). Both are
//! re-exported, so that versions agree.
//!
//! No access rests on Redis. What it says of keys is sealed, or carries nothing; that it is slow,
//! frozen, empty or away costs time for as long as that takes to notice, and refuses nobody. Limits
//! do rest on it, and whoever counts them there says what holds while it is away.

#[cfg(not(any(feature = "deadpool", feature = "fred")))]
compile_error!("keyauth-redis needs a client: feature `deadpool`, which is the default, or `fred`");

mod breaker;
mod cache;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hints;
mod limits;
mod link;
mod redis;
mod script;

#[cfg(feature = "deadpool")]
pub use deadpool_redis;
#[cfg(feature = "fred")]
pub use fred;

pub use cache::RedisCache;
pub use hints::RedisHints;
pub use limits::RedisLimits;
pub use redis::{InvalidPrefix, Redis};
