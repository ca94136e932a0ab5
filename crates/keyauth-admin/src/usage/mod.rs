//! What a key has used.

mod answer;
mod export;
mod format;
mod own;
mod parameters;
mod row;
mod turns;

pub(crate) use answer::Answer;
pub use export::export_usage;
pub(crate) use export::respond;
pub use format::UsageFormat;
pub use own::OwnUsage;
pub(crate) use own::PacedPages;
pub(crate) use parameters::{CallsAsked, CallsParams, PeriodParams, UsageAsked, UsageParams};
pub(crate) use row::Columns;
pub(crate) use turns::Turns;
