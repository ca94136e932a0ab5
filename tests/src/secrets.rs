//! Secrets that must not be shown.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use crate::log;

/// The secrets of one test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Arc<Mutex<Vec<String>>>);

impl Secrets {
    pub(crate) fn guard(&self, secret: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
    }

    /// Asserts that neither an answer nor the log shows one of them (C16).
    pub(crate) fn search(&self, answer: &impl Debug) {
        let answer = format!("{answer:?}");
        for secret in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            assert!(!answer.contains(secret), "a key in an answer");
            assert!(!log::contains(secret), "a key in the log");
        }
    }
}
