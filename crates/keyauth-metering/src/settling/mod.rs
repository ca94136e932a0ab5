//! Booking what requests came to, behind their backs.

mod open;
mod queue;
mod settler;

pub(crate) use queue::{Place, Queue};
pub(crate) use settler::settle;

use keyauth_core::{Amount, NewCharge};

use open::Opened;

/// What is to be booked. It is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Settlement {
    /// What was reserved, or would have been.
    pub(crate) charge: NewCharge,
    /// What it came to.
    pub(crate) amount: Amount,
    pub(crate) basis: Basis,
    /// What keeps the end waiting for it.
    opened: Option<Opened>,
}

/// What a settlement stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The charge is reserved, as far as anybody knows.
    Reservation,
    /// It never was.
    Nothing,
}
