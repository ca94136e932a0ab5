//! Integration tests of `keyauth-testkit`.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod gate;
mod proxy;
mod services;
