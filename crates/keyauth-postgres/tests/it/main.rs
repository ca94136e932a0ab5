//! The PostgreSQL store, on a real server.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod conformance;
