//! Integration tests of `keyauth-core`.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod conformance;
