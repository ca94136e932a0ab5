//! Keys of other systems, presented for the first time and again.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod recognise;
mod world;
