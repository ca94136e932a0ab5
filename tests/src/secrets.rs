//! Secrets that must not be shown.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log;

/// The secrets of one test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Arc<Mutex<Vec<String>>>);

impl Secrets {
    pub(crate) fn guard(&self, secret: &str) {
        self.all().push(secret.to_owned());
    }

    /// Asserts that an answer shows none of them (C16).
    pub(crate) fn search(&self, answer: &impl Debug) {
        let answer = format!("{answer:?}");
        for secret in self.all().iter() {
            assert!(!answer.contains(secret), "a key in an answer");
        }
    }

    /// Asserts that the log shows none of them (C16).
    pub(crate) fn search_log(&self) {
        /// How long a beginning is: as long as `sk_test_`.
        const BEGINNING: usize = 8;
        let (logged, all) = (log::text(), self.all());
        // The log is long, and many begin alike: where a beginning is not, none of them is.
        let begins = all.iter().filter_map(|secret| secret.get(..BEGINNING));
        let begins: BTreeSet<_> = begins.collect();
        let there: Vec<_> = begins.into_iter().filter(|begins| logged.contains(*begins)).collect();
        for secret in all.iter() {
            let may_be = secret.get(..BEGINNING).is_none_or(|begins| there.contains(&begins));
            assert!(!may_be || !logged.contains(secret), "a key in the log");
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
