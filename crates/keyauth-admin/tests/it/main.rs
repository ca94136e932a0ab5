//! The routers, behind the layer and on one file.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod exports;
mod parameters;
mod sums;
mod turns;
mod world;
