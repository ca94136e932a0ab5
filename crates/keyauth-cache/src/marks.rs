//! What has changed: the lowest version that is still good, for each subject.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keyauth_core::{Change, KeyDigest, KeyRecord, Subject, Version};
use moka::sync::Cache;

/// How long it is remembered that a secret is new, for replicas that do not know it yet.
const NEW_SECRETS_LIVE: Duration = Duration::from_secs(600);

/// The marks that changes have left, and how many changes there were.
///
/// A change first leaves its mark and is then counted. So whoever reads the count, and then
/// the marks, has seen the marks of all changes counted.
#[derive(Debug)]
pub(crate) struct Marks {
    /// How many changes were applied, changes of history included.
    applied: AtomicU64,
    /// How often everything cached before had to go.
    breaks: AtomicU64,
    /// Which history the marks are of; those of another count for nothing.
    history: AtomicU64,
    subjects: Cache<Subject, Mark>,
    /// When, in changes applied, a secret came into being; without a digest, more of them
    /// than were told one by one.
    new_secrets: Cache<Option<KeyDigest>, u64>,
    /// Changes are applied one after the other, by the feed and by calls in this process.
    applying: Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    history: u64,
    version: Version,
}

/// A moment, counted in changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) applied: u64,
    pub(crate) breaks: u64,
}

impl Marks {
    /// `lifetime` must be longer than anything lives that is compared with a mark.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            applied: AtomicU64::new(0),
            breaks: AtomicU64::new(0),
            history: AtomicU64::new(0),
            // Without a bound: to forget a mark early would bring a revoked key back.
            subjects: Cache::builder().time_to_live(lifetime).build(),
            new_secrets: Cache::builder().time_to_live(NEW_SECRETS_LIVE).build(),
            applying: Mutex::new(()),
        }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Moment {
        // The count first: what is compared with marks read later is never newer than it says.
        let applied = self.applied.load(Ordering::Acquire);
        Moment { applied, breaks: self.breaks.load(Ordering::Acquire) }
    }

    /// Leaves the marks of changes, and counts them as one.
    pub(crate) fn apply(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.applied.load(Ordering::Relaxed) + 1;
        for change in changes {
            match change {
                Change::Raised(subject, version) => {
                    self.raise(subject, *version);
                    // One that stands for many may stand for new secrets as well.
                    if matches!(subject, Subject::Everything | Subject::Tenant(_)) {
                        self.new_secrets.insert(None, next);
                    }
                }
                Change::NewSecret(digest) => self.new_secrets.insert(Some(*digest), next),
                // A change of a kind that is not known could be about anything.
                _ => self.new_secrets.insert(None, next),
            }
        }
        self.applied.store(next, Ordering::Release);
    }

    /// Everything cached so far must go: changes may have been missed.
    pub(crate) fn break_off(&self) {
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.breaks.fetch_add(1, Ordering::AcqRel);
        // So that whoever compares the one number looks further.
        self.applied.fetch_add(1, Ordering::AcqRel);
    }

    /// Versions begin anew: the marks so far say nothing about them.
    pub(crate) fn change_history(&self) {
        self.history.fetch_add(1, Ordering::AcqRel);
        self.break_off();
    }

    /// Whether a record that was loaded after a break is good for every change applied.
    pub(crate) fn admit(&self, record: &KeyRecord) -> bool {
        let history = self.history.load(Ordering::Acquire);
        record.subjects().all(|(subject, version)| {
            let mark = self.subjects.get(&subject).filter(|mark| mark.history == history);
            mark.is_none_or(|mark| version >= mark.version)
        })
    }

    /// Whether a secret has come into being since a moment.
    pub(crate) fn may_be_new_since(&self, digest: &KeyDigest, applied: u64) -> bool {
        let told = [Some(*digest), None].map(|which| self.new_secrets.get(&which));
        told.into_iter().flatten().any(|told| told > applied)
    }

    /// How many subjects have a mark, about.
    pub(crate) fn count(&self) -> u64 {
        self.subjects.entry_count()
    }

    fn raise(&self, subject: &Subject, version: Version) {
        let history = self.history.load(Ordering::Relaxed);
        self.subjects.entry_by_ref(subject).and_upsert_with(|old| {
            let old = old.map(moka::Entry::into_value).filter(|old| old.history == history);
            let version = old.map_or(version, |old| old.version.max(version));
            Mark { history, version }
        });
    }
}
