//! Integration tests of `keyauth-testkit`.

mod gate;
mod proxy;
mod services;
