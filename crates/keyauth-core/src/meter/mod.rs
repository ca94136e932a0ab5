//! What one request costs.

mod charge;
mod tally;

pub use charge::{Charge, ChargeHold};
