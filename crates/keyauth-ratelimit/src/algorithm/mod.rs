//! How each kind of limit counts: pure functions of counts and times.

mod calendar;
mod rolling;
mod smooth;

use std::time::Duration;

pub(crate) use calendar::{Calendar, Unit};
pub(crate) use rolling::{PARTS, Rolling};
pub(crate) use smooth::{Pace, Smooth};

/// How a limit stands, and what a call of some cost would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) used: u64,
    pub(crate) remaining: u64,
    /// When more of it is free.
    pub(crate) resets_after: Duration,
    pub(crate) room: Room,
}

/// Whether a call fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It does.
    Now,
    /// It will, if nobody else comes before.
    After(Duration),
    /// It costs more than there will ever be.
    Never,
}

/// Nanoseconds, which last for 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
