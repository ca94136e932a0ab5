//! Integration tests of `keyauth-testkit`.

mod gate;
mod services;
