//! keyauth as a whole: the acceptance cases, over real connections.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod addresses;
mod architecture;
mod browsers;
mod credentials;
mod explained;
mod fuzz;
mod grpc;
mod imports;
mod limits;
mod money;
mod observed;
mod options;
mod places;
mod secrets;
mod stacks;
mod state;
mod usage;
