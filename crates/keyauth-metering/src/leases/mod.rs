//! Budgets that are taken ahead of need.

mod asking;
mod keeper;
mod stock;

pub(crate) use asking::take;
pub(crate) use keeper::keep;
pub(crate) use stock::{Lease, Stock, Taken};
