//! What a trial has come to, and what that shows.

use std::time::Duration;

use keyauth_tests::history::{Asked, Bounds, History, Key, Outcome, Violation};

use crate::api::Issued;
use crate::report::{Report, say};
use crate::trial::{STEADY, UNKNOWN};

/// Less than that let through, or refused, shows nothing.
const LEAST: usize = 50;

/// What a fleet keeps, where nothing says otherwise.
pub(crate) const USUAL: Bounds =
    Bounds { staleness: Duration::from_secs(5), arrival: Duration::from_secs(2), behind: None };

/// What a trial has come to.
pub(crate) struct Outcomes {
    pub(crate) history: History,
    pub(crate) steady: Vec<Issued>,
    /// How many changes came to nothing, as far as anybody knows.
    pub(crate) undone: usize,
    /// Whether anything was changed.
    pub(crate) changes: bool,
}

impl Outcomes {
    /// Checks all of it, and the check. Gives a row by this name, and how many requests and
    /// complete revokes there were.
    pub(crate) fn check(&self, report: &mut Report, name: &str, bounds: Bounds) {
        let Self { history, .. } = self;
        let violations = history.violations(bounds);
        for violation in violations.iter().take(5) {
            say(&format!("  {violation:?}"));
        }
        let revokes = history.changed.iter().filter(|change| !change.good);
        let mut complete = revokes.clone().filter(|change| change.complete);
        let counts = [Outcome::Admitted, Outcome::Refused, Outcome::Unanswered]
            .map(|outcome| history.count(outcome));
        let [admitted, refused, unanswered] = counts;
        let of = format!(
            "{} requests ({admitted} let through, {refused} refused, {unanswered} unanswered), {} \
             revokes, {} of them complete",
            history.asked.len(),
            revokes.count(),
            complete.clone().count(),
        );
        report.totals.requests += history.asked.len();
        report.totals.complete += complete.clone().count();
        for violation in &violations {
            match violation {
                Violation::Admitted(asked, _) if is_unknown(asked.key) => {
                    report.totals.unknown_admitted += 1;
                }
                Violation::Admitted(..) => report.totals.revoked_admitted += 1,
                Violation::Refused(..) => report.totals.good_refused += 1,
            }
        }
        report.never(format!("{name}: wrong answers"), violations.len(), of);
        // Where nobody answers, nothing is wrong, and nothing is shown.
        let answers = admitted >= LEAST && refused >= LEAST;
        let changes = complete.clone().next().is_some() || !self.changes;
        if !(answers && changes) {
            report.row(format!("{name}: shows something"), "too little was answered", "", false);
        }
        // Whoever finds nothing must be able to find something.
        if let Some(revoke) = complete.next_back() {
            let at = revoke.acknowledged.unwrap_or_default();
            let (start, end) = (at + Duration::from_micros(1), at + Duration::from_millis(1));
            // Elsewhere than where it was revoked: so it is the completeness that counts.
            let (key, outcome, instance) = (revoke.key, Outcome::Admitted, revoke.instance + 1);
            let planted = Asked { key, instance, start, end, outcome };
            let history = History { asked: vec![planted], changed: history.changed.clone() };
            assert_eq!(history.violations(bounds).len(), 1, "a planted violation is found");
        }
    }

    /// How many calls with each key that is good all the time must be on record at least, and how
    /// many may be: those without an answer may have been let through. With those before it began.
    pub(crate) fn steady_calls(&self, instances: usize) -> Vec<[usize; 2]> {
        let mut calls = vec![[instances; 2]; STEADY];
        for asked in self.history.asked.iter().filter(|asked| is_steady(asked.key)) {
            let [least, most] = &mut calls[asked.key];
            *least += usize::from(asked.outcome == Outcome::Admitted);
            *most += usize::from(matches!(asked.outcome, Outcome::Admitted | Outcome::Unanswered));
        }
        calls
    }

    /// How many requests were not answered, with keys that are unknown to one instance.
    pub(crate) fn unknown_unanswered(&self, instance: usize) -> usize {
        let asked = self.history.asked.iter().filter(|asked| asked.instance == instance);
        asked.filter(|asked| is_unknown(asked.key) && asked.outcome == Outcome::Unanswered).count()
    }

    /// How many requests with keys that are good all the time were not let through.
    pub(crate) fn steady_not_admitted(&self) -> (usize, usize) {
        self.steady_not_admitted_at(|_| true)
    }

    /// The same of some instances.
    pub(crate) fn steady_not_admitted_at(&self, at: impl Fn(usize) -> bool) -> (usize, usize) {
        let steady = self.history.asked.iter().filter(|asked| is_steady(asked.key));
        let steady: Vec<_> = steady.filter(|asked| at(asked.instance)).collect();
        let not = steady.iter().filter(|asked| asked.outcome != Outcome::Admitted).count();
        (not, steady.len())
    }
}

/// Whether a key is one of those that are good all the time.
pub(crate) const fn is_steady(key: Key) -> bool {
    key < STEADY
}

fn is_unknown(key: Key) -> bool {
    (STEADY..STEADY + UNKNOWN).contains(&key)
}
