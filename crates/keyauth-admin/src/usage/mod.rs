//! What a key has used.

mod answer;
mod export;
mod format;
mod own;
mod parameters;
mod row;
mod turns;

pub use export::export_usage;
pub use format::UsageFormat;
pub use own::OwnUsage;
