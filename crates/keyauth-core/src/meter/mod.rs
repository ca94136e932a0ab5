//! What one request costs.

mod charge;
mod recorded;
mod tally;

pub use charge::{Answered, Charge, ChargeHold};
