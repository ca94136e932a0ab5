//! keyauth as a process.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod cli;
mod managing;
mod server;
mod serving;
mod usage;
