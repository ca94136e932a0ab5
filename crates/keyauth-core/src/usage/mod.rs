//! What is asked of the record of usage, and what it answers.

mod export;
mod query;
mod slice;

pub use export::UsageExport;
pub use query::{UsageDimension, UsageLine, UsageQuery};
pub use slice::UsageSlice;
