//! What has changed: the lowest version that is still good, for each subject.

use std::time::Duration;

use keyauth_core::{Change, KeyDigest, KeyRecord, Subject, Version};
use moka::sync::Cache;

use crate::lease::micros;
use crate::observe;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, PoisonError};

/// How long it is remembered that a secret is new: longer than anybody remembers that it was
/// unknown.
const NEW_SECRETS_LIVE: Duration = Duration::from_secs(120);
/// How many new secrets are remembered one by one.
const MOST_NEW_SECRETS: u64 = 100_000;
/// How many subjects have a mark. About 200 bytes each.
const MOST_MARKS: u64 = 500_000;

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
    /// Which history the marks are of; those of another count for nothing. Written last and
    /// read first, so that nobody takes new marks, or none, for those of what he cached.
    history: AtomicU64,
    /// Until when, in microseconds of uptime, marks may be missing because they were too many.
    blind_until: AtomicU64,
    /// The version of everything, which is never forgotten: after a promotion it alone keeps
    /// away what the primary of before still says.
    everything: AtomicU64,
    subjects: Cache<Subject, Mark>,
    /// When, in changes applied, a secret came into being; without a digest, more of them
    /// than were told one by one.
    new_secrets: Cache<Option<KeyDigest>, u64>,
    lifetime: Duration,
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
    history: u64,
}

impl Marks {
    /// `lifetime` must be longer than anything lives that is compared with a mark.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            applied: AtomicU64::new(0),
            breaks: AtomicU64::new(0),
            history: AtomicU64::new(0),
            blind_until: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            // Without a bound of its own, which would forget any mark it likes.
            subjects: Cache::builder().time_to_live(lifetime).build(),
            new_secrets: Cache::builder().time_to_live(NEW_SECRETS_LIVE).build(),
            lifetime,
            applying: Mutex::new(()),
        }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Moment {
        let history = self.history.load(Ordering::Acquire);
        // The count first: what is compared with marks read later is never newer than it says.
        let applied = self.applied.load(Ordering::Acquire);
        Moment { applied, breaks: self.breaks.load(Ordering::Acquire), history }
    }

    /// Leaves the marks of changes, and counts them as one.
    pub(crate) fn apply(&self, changes: &[Change], now: Duration) {
        if changes.is_empty() {
            return;
        }
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        if self.subjects.entry_count() > MOST_MARKS {
            self.begin_anew(now);
        }
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
                Change::NewSecret(digest) if self.new_secrets.entry_count() < MOST_NEW_SECRETS => {
                    self.new_secrets.insert(Some(*digest), next);
                }
                Change::NewSecret(_) | Change::NewSecrets => self.new_secrets.insert(None, next),
                // A kind that this version does not know could be about anything.
                _ => {
                    self.new_secrets.insert(None, next);
                    self.breaks.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
        self.applied.store(next, Ordering::Release);
    }

    /// Everything cached so far must go: changes may have been missed.
    pub(crate) fn break_off(&self) {
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.count_break();
    }

    /// Versions begin anew: the marks so far say nothing about them.
    pub(crate) fn change_history(&self) {
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.count_break();
        self.history.fetch_add(1, Ordering::AcqRel);
        // Last: who has seen the new history and the old version is too strict for a moment.
        self.everything.store(0, Ordering::Release);
    }

    /// Changes were too many for each to leave its mark.
    pub(crate) fn forget(&self, now: Duration) {
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_anew(now);
    }

    /// Whether a record is good for every change applied, as of a moment.
    pub(crate) fn admit(&self, record: &KeyRecord, now: Moment) -> bool {
        let good = record.subjects().all(|(subject, version)| {
            if subject == Subject::Everything {
                return version.get() >= self.everything.load(Ordering::Acquire);
            }
            let mark = self.subjects.get(&subject).filter(|mark| mark.history == now.history);
            mark.is_none_or(|mark| version >= mark.version)
        });
        // Marks that went meanwhile have not been seen.
        good && self.history.load(Ordering::Acquire) == now.history
    }

    /// Whether a secret has come into being since a moment.
    pub(crate) fn may_be_new_since(&self, digest: &KeyDigest, applied: u64) -> bool {
        let told = [Some(*digest), None].map(|which| self.new_secrets.get(&which));
        told.into_iter().flatten().any(|told| told > applied)
    }

    /// Whether there is a mark for every change that was ever applied to what may be around
    /// elsewhere. Where not, only the store itself is believed.
    pub(crate) fn are_complete(&self, now: Duration) -> bool {
        micros(now) >= self.blind_until.load(Ordering::Acquire)
    }

    /// How many subjects have a mark, about.
    pub(crate) fn count(&self) -> u64 {
        self.subjects.entry_count()
    }

    /// Does what is better not done on the way of a request.
    pub(crate) fn tidy(&self) {
        self.subjects.run_pending_tasks();
        self.new_secrets.run_pending_tasks();
    }

    fn count_break(&self) {
        observe::broke();
        self.breaks.fetch_add(1, Ordering::AcqRel);
        // So that whoever compares the one number looks further.
        self.applied.fetch_add(1, Ordering::AcqRel);
    }

    /// Begins anew without a mark, under the lock. What is loaded from the store after this has
    /// seen all changes applied so far; what comes from elsewhere may not have, for as long as
    /// those marks would have lived. The version of everything stays.
    fn begin_anew(&self, now: Duration) {
        tracing::warn!("more keys changed than marks are kept; everything cached is dropped");
        self.blind_until.store(micros(now.saturating_add(self.lifetime)), Ordering::Release);
        self.count_break();
        self.history.fetch_add(1, Ordering::AcqRel);
        self.subjects.invalidate_all();
        self.subjects.run_pending_tasks();
    }

    /// Called under the lock, so that nobody raises it in between.
    fn raise(&self, subject: &Subject, version: Version) {
        if *subject == Subject::Everything {
            self.everything.fetch_max(version.get(), Ordering::AcqRel);
            return;
        }
        let history = self.history.load(Ordering::Relaxed);
        let old = self.subjects.get(subject).filter(|old| old.history == history);
        let version = old.map_or(version, |old| old.version.max(version));
        self.subjects.insert(subject.clone(), Mark { history, version });
    }
}
