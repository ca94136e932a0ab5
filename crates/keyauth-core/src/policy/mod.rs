//! Who is let through: one pure function, and the words for its "no".

mod admit;
mod denial;
mod explain;
mod facts;

pub use admit::admit;
pub(crate) use admit::admit_at;
pub use denial::Denial;
pub use explain::{Station, StationVerdict, explain};
pub use facts::RequestFacts;
