//! The PostgreSQL store, on a real server.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod audit;
mod by_hand;
mod conformance;
mod crash;
mod failing;
mod failover;
mod feed;
mod ledger;
mod migrations;
mod money_fails;
mod pgbouncer;
mod propagation;
mod replica;
mod usage;
mod world;
