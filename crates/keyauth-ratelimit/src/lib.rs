//! Rate and concurrency limits: one decision over all limits of a request.
//!
//! ```
//! use keyauth_core::{Authenticator, Denial, KeyStore, Limit, MemoryStore, NewKey, RequestFacts};
//! use keyauth_ratelimit::LocalLimiter;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let key = store.issue(NewKey::named("ada").limit(Limit::per_minute(1))).await?;
//!
//! let auth = Authenticator::new(store).with_limiter(LocalLimiter::new());
//! assert!(auth.verify(key.reveal(), &RequestFacts::new()).await?.is_ok());
//! let denied = auth.verify(key.reveal(), &RequestFacts::new()).await?;
//! assert_eq!(denied.err(), Some(Denial::RateLimited));
//! # Ok(())
//! # }
//! ```
//!
//! A request that one limit refuses is counted by none of them. `algorithm/` is how each kind of
//! limit counts, without locks or clocks; `local/` keeps the counts of one
//! process, and `fleet/` asks somebody who keeps them for all. `guard/` holds up those who try keys.

mod algorithm;
mod answer;
mod fleet;
mod guard;
#[cfg(all(test, shuttle))]
mod interleavings;
mod local;
mod subjects;
mod sync;

pub use fleet::{FleetLimiter, WhenAway};
pub use guard::FailedAttempts;
pub use local::LocalLimiter;
