//! The cache over a store in memory, with every race made by force.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod conformance;
mod lease;
mod races;
mod reads;
mod shared;
mod stale;
mod world;
