//! The adapter against real servers, one and a cluster of three, by both clients.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod away;
mod conformance;
mod fence;
mod guard;
mod leased;
mod limits;
mod limits_away;
mod listening;
mod names;
mod rights;
mod world;
