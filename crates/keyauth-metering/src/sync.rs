//! Locks and atomics: the standard library's, and where `cfg(shuttle)` is set those of a scheduler
//! under which tests try many interleavings.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic};
