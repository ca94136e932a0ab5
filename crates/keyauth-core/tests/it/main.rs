//! Integration tests of `keyauth-core`.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod budget_windows;
mod conformance;
