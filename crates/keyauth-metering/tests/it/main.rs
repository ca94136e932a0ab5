//! The meter, over a ledger in memory that can be away, and is counted.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod away;
mod charges;
mod exhausted;
mod leased;
mod usage;
mod world;
