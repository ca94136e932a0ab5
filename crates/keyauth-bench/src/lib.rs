//! Benchmarks of keyauth, each beside the same written by hand: see `benches`.
//!
//! Absolute times say something about a machine; what counts is the ratio of two figures
//! from one run.
