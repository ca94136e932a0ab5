//! What the tests of keyauth as a whole share: a service to call, a client that can send
//! anything, a log to search, and processes to run.

#![expect(clippy::expect_used, clippy::panic, reason = "a test's kit fails by panicking")]

mod answer;
mod broken;
pub mod fuzz;
pub mod history;
mod instance;
mod log;
mod process;
mod secrets;
mod site;
mod world;

pub use answer::Answer;
pub use broken::Broken;
pub use instance::{Hammered, Instance};
pub use log::logged_by;
pub use process::Running;
pub use site::{Site, call};
pub use world::{World, app};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/limits.md")]
mod limits {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/budgets.md")]
mod budgets {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/usage.md")]
mod usage {}
