//! From a presented key to a proof that it was admitted.

mod admission;
mod authenticator;
mod background;
mod dyn_importer;
mod dyn_limiter;
mod dyn_lookup;
mod dyn_meter;
mod explanation;
mod timekeeper;

pub use admission::Admission;
pub use authenticator::{Authenticator, LimitStep, LookupFuture};
pub use background::Background;
pub use dyn_limiter::LimitFuture;
pub(crate) use dyn_meter::DynMeter;
pub use explanation::{Explained, Explanation, FoundIn};
