//! A cache in front of a key store that never brings a revoked key back.
//!
//! One line puts it there:
//!
//! ```
//! use keyauth_cache::CachedLookup;
//! use keyauth_core::{Authenticator, KeyStore, MemoryStore, NewKey, RequestFacts};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let (auth, background) = Authenticator::new(CachedLookup::new(store.clone())).start();
//!
//! let key = store.issue(NewKey::named("ci")).await?;
//! assert!(auth.verify(key.reveal(), &RequestFacts::new()).await?.is_ok());
//!
//! // The next request knows.
//! store.revoke(&key).await?;
//! assert!(auth.verify(key.reveal(), &RequestFacts::new()).await?.is_err());
//!
//! background.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The rules it keeps:
//!
//! * A record is served when no change is known that is newer, and only under a lease: for
//!   [`max_staleness`](CacheOptions::max_staleness) since a poll was sent that succeeded.
//! * No clock of another machine and no order of arrival decides what is newer, only versions.
//! * Without a lease each request asks the store. Where that gives no answer, what is cached
//!   is served for a while, or not: [`Outage`].
//! * A busy key costs one read of the store, and so do many callers at once of one that is not
//!   cached. Unknown keys are remembered apart, for seconds.
//! * That a load is under way, or many are, holds up no request whose record is at hand.
//!
//! With feature `metrics` it tells, through the `metrics` facade:
//!
//! | name | kind | labels |
//! | --- | --- | --- |
//! | `keyauth_cache_hits_total` | counter | `layer`: `process`, `unknown`, `shared`, `outage` |
//! | `keyauth_cache_loads_total` | counter | `outcome`: `found`, `unknown`, `unavailable`, `overloaded` |
//! | `keyauth_cache_shared_loads_total` | counter | callers that waited for another one's load |
//! | `keyauth_cache_rejected_fills_total` | counter | `from`: `store`, `shared`; older than a known change |
//! | `keyauth_cache_evictions_total` | counter | `reason`: `stale`, `expired`, `size` |
//! | `keyauth_cache_breaks_total` | counter | all was dropped, as changes may have been missed; the first poll of a process is one |
//! | `keyauth_cache_refused_shared_entries_total` | counter | damaged, foreign or too old |
//! | `keyauth_cache_shared_failures_total` | counter | |
//! | `keyauth_cache_poll_failures_total` | counter | |
//! | `keyauth_cache_lease_held` | gauge | 1 where what is cached could be served after the last poll |
//! | `keyauth_cache_marks` | gauge | subjects that have changed lately, about |
//! | `keyauth_change_propagation_seconds` | histogram | from a change's commit to when it was applied, by the store's clock; from when it was written where the store does not know more |
//!
//! `docs/revocation.md` explains the protocol, and what breaks without each part of it.

mod background;
mod bounded;
mod entry;
mod flight;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hints;
mod inner;
#[cfg(all(test, shuttle))]
mod interleavings;
mod lease;
mod load;
mod lookup;
mod marks;
mod observe;
mod options;
mod outage;
mod shared;
mod sync;

pub use lookup::CachedLookup;
pub use options::{CacheOptions, Outage};
