//! The limiters: what they let through, and what they never do.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod adversary;
mod conformance;
mod local;
mod world;
