//! The baselines: what a careful engineer would write without keyauth, with the same libraries.

mod layer;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod record;

pub use layer::{ByHand, ByHandLayer};
