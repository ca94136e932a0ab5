//! The routers, behind the layer and on one file.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod exports;
mod parameters;
mod sums;
mod world;
