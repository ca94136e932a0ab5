//! Several processes over one PostgreSQL: how a revoke reaches them, and what stops it.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod cut_off;
mod instance;
mod propagation;
