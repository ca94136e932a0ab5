//! What a key has used.

mod answer;
mod export;
mod own;
mod parameters;
mod row;

pub use own::OwnUsage;
