//! From a presented key to a proof that it was admitted.

mod admission;
mod authenticator;
mod dyn_lookup;
mod timekeeper;

pub use admission::Admission;
pub use authenticator::{Authenticator, LookupFuture};
