//! Integration tests of `keyauth-sqlite`.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod audit;
mod by_hand;
mod conformance;
mod files;
mod usage;
