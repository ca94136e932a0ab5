//! Several processes over one PostgreSQL, or one file: how a revoke reaches them, and what stops it;
//! and under one limit, which Redis counts.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod cut_off;
mod limits;
mod one_file;
mod propagation;

/// A process that serves.
const INSTANCE: &str = env!("CARGO_BIN_EXE_instance");
