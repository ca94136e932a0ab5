//! Who is let through: one pure function, and the words for its "no".

mod admit;
mod denial;
mod facts;

pub use admit::admit;
pub use denial::Denial;
pub use facts::RequestFacts;
