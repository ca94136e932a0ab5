//! keyauth as a process.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod server;
mod serving;
mod usage;
