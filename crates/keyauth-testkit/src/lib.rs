//! What tests of keyauth's adapters, and of services behind keyauth, need.
//!
//! A service behind the layer is tested with keys that work, in one line:
//!
//! ```
//! use keyauth_core::{NewKey, RequestFacts};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (auth, key) = keyauth_testkit::authenticator(NewKey::named("ada").scope("reports:read"));
//! assert!(auth.verify(key.reveal(), &RequestFacts::new()).await?.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! An adapter of one's own is tested with [`key_store_conformance!`],
//! [`change_feed_conformance!`], [`shared_cache_conformance!`], [`hints_conformance!`] and
//! [`limiter_conformance!`].
//! [`FakeClock`] turns the time, [`Gated`] holds a lookup where a race needs it held, and cuts it
//! off from its store, and [`Passed`] looks at what limits let through in every window. Feature `containers` adds real servers, one a test run, with a database or
//! key space of its own for each test, and servers of a test's own to crash.
//!
//! Everything here panics where a test should fail.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's kit fails by panicking"
)]

mod authenticator;
mod clock;
pub mod conformance;
mod corpus;
mod gate;
mod passed;
#[cfg(feature = "containers")]
mod services;
mod through;

pub use authenticator::{admission, at_once, authenticator};
pub use clock::FakeClock;
pub use corpus::replay;
pub use gate::{Gated, GatedReader, Side, Wire};
pub use passed::Passed;
#[cfg(feature = "containers")]
pub use services::{
    FaultProxy, Flow, PostgresDatabase, PostgresServer, RedisKeyspace, RedisServers, SmallDisk,
    Way, fake_time_library,
};
pub use through::Through;
