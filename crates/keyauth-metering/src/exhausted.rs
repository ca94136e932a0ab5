//! What is known to have too little left.

use std::time::Duration;

use keyauth_core::{Amount, BudgetState, Counted, KeyRecord, Timestamp, Version};

/// How long it is known at most, for changes that raise no version.
const LONGEST: Duration = Duration::from_secs(5);

/// That a budget had so little left that a charge was refused whatever others give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhaustion {
    /// What it was known of: another limit, or another version, may be another matter.
    of: Terms,
    /// How much there was left of it at most.
    left: Amount,
    /// When its window ends, by the wall clock.
    pub(crate) ends_at: Option<Timestamp>,
    /// When it was known, in uptime.
    since: Duration,
}

/// What an answer about a budget was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) limit: Amount,
    subject: Version,
    everything: Version,
}

impl Terms {
    /// Of a budget as a record has it.
    pub(crate) fn of(record: &KeyRecord, counted: Counted, limit: Amount) -> Self {
        let versions = &record.versions;
        let subject = match counted {
            Counted::Key => versions.key,
            Counted::Member | Counted::Owner => versions.owner,
            Counted::Group => versions.group,
            // And those of a later version.
            _ => versions.tenant,
        };
        Self { limit, subject, everything: versions.everything }
    }
}

#[cfg(test)]
impl Terms {
    /// Of a record that was never changed.
    pub(crate) fn at(limit: Amount) -> Self {
        Self { limit, subject: Version::ZERO, everything: Version::ZERO }
    }
}

impl Exhaustion {
    /// What an answer says, where it says so: that nothing given back can make room.
    pub(crate) fn told_by(
        of: Terms,
        state: &BudgetState,
        amount: Amount,
        uptime: Duration,
    ) -> Option<Self> {
        let left = state.limit.saturating_sub(state.used);
        let exhaustion = Self { of, left, ends_at: state.ends_at, since: uptime };
        exhaustion.refuses(amount).then_some(exhaustion)
    }

    /// Whether it still holds.
    pub(crate) fn holds(&self, of: Terms, now: Timestamp, uptime: Duration) -> bool {
        self.of == of
            && self.ends_at.is_none_or(|end| now < end)
            && uptime.saturating_sub(self.since) < LONGEST
    }

    /// Whether there is too little left for an amount; for nothing at all, where nothing is.
    pub(crate) fn refuses(&self, amount: Amount) -> bool {
        self.left <= Amount::ZERO || amount > self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);
    const LATER: Timestamp = Timestamp::from_unix_seconds(1_060);

    fn units(units: i64) -> Amount {
        Amount::from_units(units).expect("an amount")
    }

    fn state(used: i64, reserved: i64) -> BudgetState {
        BudgetState {
            limit: units(10),
            used: units(used),
            reserved: units(reserved),
            overrun: Amount::ZERO,
            lost: Amount::ZERO,
            began_at: Some(NOW),
            ends_at: Some(LATER),
        }
    }

    fn terms(limit: i64, version: u64) -> Terms {
        Terms { subject: Version::new(version), ..Terms::at(units(limit)) }
    }

    #[test]
    fn what_others_may_give_back_is_not_remembered() {
        let told = |used, reserved, amount| {
            let told = Exhaustion::told_by(
                terms(10, 1),
                &state(used, reserved),
                units(amount),
                Duration::ZERO,
            );
            told.is_some()
        };
        assert!(told(10, 0, 0), "nothing is left");
        assert!(told(8, 0, 3), "too little is left");
        assert!(!told(8, 2, 2), "it is left once the others have settled");
        assert!(!told(0, 10, 1));
    }

    #[test]
    fn it_holds_until_something_may_have_changed() {
        let told = Exhaustion::told_by(terms(10, 1), &state(8, 0), units(3), Duration::ZERO);
        let told = told.expect("it says so");
        assert!(told.refuses(units(3)) && !told.refuses(units(2)) && !told.refuses(units(0)));
        let soon = Duration::from_secs(4);
        assert!(told.holds(terms(10, 1), NOW, soon));
        assert!(!told.holds(terms(11, 1), NOW, soon), "it was raised");
        assert!(!told.holds(terms(10, 2), NOW, soon), "it may have been reset");
        assert!(!told.holds(terms(10, 1), LATER, soon), "the window is over");
        assert!(!told.holds(terms(10, 1), NOW, Duration::from_secs(5)));
    }
}
