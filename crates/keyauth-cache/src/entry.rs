//! What is cached.

use keyauth_core::{KeyDigest, KeyRecord};

use crate::marks::{Marks, Moment};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A record, and when it was last compared with the marks.
#[derive(Debug)]
pub(crate) struct Entry {
    record: Arc<KeyRecord>,
    /// How often everything had to go before it was loaded.
    breaks: u64,
    /// The count of changes when it was last found good.
    compared: AtomicU64,
}

impl Entry {
    /// An entry of a record that was loaded at a moment, if it is good.
    pub(crate) fn new(record: Arc<KeyRecord>, loaded: Moment, marks: &Marks) -> Option<Self> {
        let now = marks.now();
        let good = now.breaks == loaded.breaks && marks.admit(&record, now);
        let compared = AtomicU64::new(now.applied);
        good.then_some(Self { record, breaks: loaded.breaks, compared })
    }

    /// The record, if it is good for every change that was applied so far.
    pub(crate) fn record(&self, marks: &Marks) -> Option<&Arc<KeyRecord>> {
        let now = marks.now();
        if self.compared.load(Ordering::Relaxed) != now.applied {
            if now.breaks != self.breaks || !marks.admit(&self.record, now) {
                return None;
            }
            self.compared.store(now.applied, Ordering::Relaxed);
        }
        Some(&self.record)
    }

    /// Whether it is to stay where another entry of the same secret would take its place.
    pub(crate) fn outlives(&self, other: &Self, marks: &Marks) -> bool {
        let versions = &self.record.versions;
        versions.is_newer_than(&other.record.versions) && self.record(marks).is_some()
    }
}

/// That a digest was unknown at a moment.
#[derive(Debug)]
pub(crate) struct Unknown {
    breaks: u64,
    /// The count of changes up to which no secret came into being that it could be.
    applied: AtomicU64,
}

impl Unknown {
    pub(crate) fn since(asked: Moment) -> Self {
        Self { breaks: asked.breaks, applied: AtomicU64::new(asked.applied) }
    }

    /// Whether no secret has come into being since then that it could be.
    pub(crate) fn holds(&self, digest: &KeyDigest, marks: &Marks) -> bool {
        let now = marks.now();
        let applied = self.applied.load(Ordering::Relaxed);
        if now.breaks != self.breaks {
            return false;
        }
        if now.applied != applied {
            if marks.may_be_new_since(digest, applied) {
                return false;
            }
            self.applied.fetch_max(now.applied, Ordering::Relaxed);
        }
        true
    }
}
