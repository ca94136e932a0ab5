//! Integration tests of `keyauth-core`.

mod conformance;
