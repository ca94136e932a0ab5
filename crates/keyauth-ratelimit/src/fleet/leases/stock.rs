//! What this instance has taken ahead of one limit. Times are nanoseconds of uptime.

use std::time::Duration;

use keyauth_core::{
    LeasedFrom, Limit, LimitCount, LimitState, LimitUnit, LimitWindow, SharedLease, UnusedLease,
};

use crate::algorithm::{PARTS, nanos};

/// Below this a part of a window is too short for anything to be used in it that was taken ahead.
const SHORTEST_WINDOW: Duration = Duration::from_secs(10);
/// How long something is kept that is not used, also where its day is not over.
const LONGEST_TERM: u64 = 5_000_000_000;
/// How much must have been used in a term for it to be worth taking ahead.
const LEAST: u64 = 4;
/// What part of a limit all instances together hold at most.
const SHARE: u64 = 10;
/// How long it is not tried again after no answer.
const PAUSE: u64 = 1_000_000_000;

/// Whether anything is taken ahead of a limit.
pub(super) fn can_be_leased(limit: &Limit) -> bool {
    bound(limit).is_some()
}

/// How much a limit lets through, and for how long something of it is kept at most that was taken
/// ahead; `None` where nothing is.
fn bound(limit: &Limit) -> Option<(u64, u64)> {
    let LimitCount::AtMost(count) = limit.count else { return None };
    match limit.window {
        LimitWindow::Rolling(window) if window >= SHORTEST_WINDOW => {
            Some((count, (nanos(window) / PARTS).min(LONGEST_TERM)))
        }
        LimitWindow::Day | LimitWindow::Month => Some((count, LONGEST_TERM)),
        // An even pace has no part in which something could be used later than it was taken
        // without being more than the pace; and of places at once there are few.
        _ => None,
    }
}

/// What is there of one limit, and what is known of its use.
#[derive(Debug)]
pub(super) struct Stock {
    limit: Limit,
    count: u64,
    term: u64,
    left: u64,
    good_until: u64,
    from: Option<LeasedFrom>,
    /// What is to be given back.
    unused: Vec<UnusedLease>,
    demand: Demand,
    /// Whether more was asked for, and there is no answer yet.
    awaited: bool,
    /// Until when nobody has to ask, since there was nothing.
    dry_until: u64,
    /// What was left for all, and when there is more, when somebody was last asked.
    remaining: u64,
    more_at: u64,
}

/// How much is used in a term.
#[derive(Debug, Default)]
struct Demand {
    term: u64,
    used: u64,
    before: u64,
}

impl Demand {
    fn advance(&mut self, term: u64) {
        if term != self.term {
            self.before = if term == self.term + 1 { self.used } else { 0 };
            (self.term, self.used) = (term, 0);
        }
    }
}

impl Stock {
    /// `None` where nothing is taken ahead of the limit.
    pub(super) fn new(limit: &Limit) -> Option<Self> {
        let (count, term) = bound(limit)?;
        Some(Self {
            limit: limit.clone(),
            count,
            term,
            left: 0,
            good_until: 0,
            from: None,
            unused: Vec::new(),
            demand: Demand::default(),
            awaited: false,
            dry_until: 0,
            remaining: 0,
            more_at: 0,
        })
    }

    /// Whether it is this limit's: not where its count was changed.
    pub(super) fn is_of(&self, limit: &Limit) -> bool {
        self.limit == *limit
    }

    /// What a call counts for the limit.
    pub(super) const fn units(&self, cost: u64) -> u64 {
        match self.limit.unit {
            LimitUnit::Cost => cost,
            _ => 1,
        }
    }

    /// How much of it can be used.
    const fn usable(&self, now: u64) -> u64 {
        if now < self.good_until { self.left } else { 0 }
    }

    /// Whether so much can be used, and there was anything.
    pub(super) const fn has(&self, units: u64, now: u64) -> bool {
        now < self.good_until && self.left >= units
    }

    /// Uses what [is there](Self::has).
    pub(super) const fn take(&mut self, units: u64) {
        self.left = self.left.saturating_sub(units);
    }

    /// Notes that so much was used, from here or not. Says whether more is to be asked for.
    pub(super) fn note(&mut self, units: u64, now: u64, instances: u64) -> bool {
        self.demand.advance(now / self.term);
        self.demand.used = self.demand.used.saturating_add(units);
        let wanted = self.target(now, instances);
        let low = wanted > 0 && self.usable(now) <= wanted / 2;
        let ask = low && !self.awaited && now >= self.dry_until;
        self.awaited |= ask;
        ask
    }

    /// How much there should be: what was used in a term, but of the limit no more than a part of
    /// which each instance has one.
    fn target(&mut self, now: u64, instances: u64) -> u64 {
        self.demand.advance(now / self.term);
        let used = self.demand.used.max(self.demand.before);
        let share = self.count.checked_div(instances.saturating_mul(SHARE)).unwrap_or_default();
        if used.min(share) < LEAST { 0 } else { used.min(share) }
    }

    /// What to ask for, and what to give back, which is not here any more then: once for more, and
    /// as often as there is something to give back.
    pub(super) fn questions(
        &mut self,
        now: u64,
        instances: u64,
    ) -> Vec<(u64, Option<UnusedLease>)> {
        if now >= self.good_until {
            self.put_away();
        }
        let wanted = match now >= self.dry_until {
            true => self.target(now, instances).saturating_sub(self.left),
            false => 0,
        };
        let mut unused = std::mem::take(&mut self.unused).into_iter();
        let first = (wanted, unused.next());
        self.awaited = wanted > 0;
        if first == (0, None) {
            return Vec::new();
        }
        std::iter::once(first).chain(unused.map(|unused| (0, Some(unused)))).collect()
    }

    /// What is left is of a count that begins anew.
    pub(super) fn drop_all(&mut self) {
        (self.left, self.from, self.dry_until) = (0, None, 0);
        self.unused.clear();
    }

    /// What is left is for somebody else.
    pub(super) fn put_away(&mut self) {
        let amount = std::mem::take(&mut self.left);
        if let Some(from) = self.from.take()
            && amount > 0
        {
            self.unused.push(UnusedLease { from, amount });
        }
    }

    /// What came of it, when it was asked for.
    pub(super) fn answered(&mut self, wanted: u64, asked_at: u64, lease: Option<&SharedLease>) {
        self.awaited = false;
        let Some(lease) = lease else {
            self.dry_until = asked_at.saturating_add(PAUSE);
            return;
        };
        if lease.granted > 0 {
            if self.from != Some(lease.from) {
                self.put_away();
                (self.from, self.good_until) = (Some(lease.from), 0);
            }
            self.left += lease.granted;
            let good_for = nanos(lease.good_for).min(self.term);
            // Clocks do not all go at the same pace.
            let good_for = good_for - good_for / 1_000;
            // Of two answers about one part each is early enough.
            self.good_until = self.good_until.max(asked_at.saturating_add(good_for));
        }
        (self.remaining, self.more_at) =
            (lease.remaining, asked_at.saturating_add(nanos(lease.resets_after)));
        if lease.granted < wanted {
            let pause = nanos(lease.resets_after).clamp(self.term / 10, self.term);
            self.dry_until = asked_at.saturating_add(pause);
        }
    }

    /// How the limit stands, as far as is known.
    pub(super) fn state(&self, at: usize, now: u64) -> LimitState {
        let count = self.count;
        let remaining = self.remaining.saturating_add(self.left).min(count);
        let resets_after = Duration::from_nanos(self.more_at.saturating_sub(now));
        LimitState { at, used: count - remaining, remaining, resets_after, exceeded: false }
    }

    /// When the keeper should look at it again; `None` where it can be forgotten.
    pub(super) fn next_look(&mut self, now: u64) -> Option<u64> {
        self.demand.advance(now / self.term);
        let idle = self.demand.used == 0 && self.demand.before == 0;
        if self.left > 0 {
            Some(self.good_until)
        } else if idle && self.unused.is_empty() && !self.awaited {
            None
        } else {
            Some(now.saturating_add(self.term))
        }
    }

    pub(super) const fn limit(&self) -> &Limit {
        &self.limit
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use keyauth_core::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const MILLI: u64 = 1_000_000;
    const COUNT: u64 = 1_000;

    /// What becomes of what was taken ahead of one part of one count.
    #[derive(Debug, Default)]
    struct Account {
        granted: u64,
        used: u64,
        given_back: u64,
        /// When the part is over, at the earliest.
        ends: u64,
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// So many milliseconds pass, and so much is used, if it is there.
        Use(u64, u64),
        /// The keeper asks, and is answered after so many milliseconds: for how long it is good,
        /// in tenths of a second, how much of what it wants there is, in percent, and whether it
        /// is of another part than before. There may be no answer.
        Ask(u64, Option<(u64, u64, bool)>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let answer = proptest::option::weighted(0.9, (0..60_u64, 0..=100_u64, any::<bool>()));
        let step = prop_oneof![
            8 => (prop_oneof![0..3_u64, 0..6_000_u64], 0..20_u64).prop_map(|(after, units)| Step::Use(after, units)),
            3 => (prop_oneof![0..3_u64, 0..1_000_u64], answer).prop_map(|(after, answer)| Step::Ask(after, answer)),
        ];
        prop::collection::vec(step, 1..300)
    }

    fn stock() -> Stock {
        Stock::new(&Limit::per_hour(COUNT).of_cost()).expect("it can be leased")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_used_was_granted_is_in_time_and_is_not_given_back(steps in steps()) {
            let mut stock = stock();
            let mut accounts: HashMap<i64, Account> = HashMap::new();
            let (mut now, mut part, mut lost) = (1, 0, 0);
            let give_back = |accounts: &mut HashMap<i64, Account>, unused: Option<UnusedLease>| {
                if let Some(UnusedLease { from, amount }) = unused {
                    accounts.entry(from.period).or_default().given_back += amount;
                }
            };
            for step in steps {
                match step {
                    Step::Use(after, units) => {
                        now += after * MILLI;
                        if stock.has(units, now) {
                            stock.take(units);
                            let from = stock.from.map_or(-1, |from| from.period);
                            let account = accounts.entry(from).or_default();
                            account.used += units;
                            prop_assert!(now < account.ends, "used too late");
                        }
                        stock.note(units, now, 2);
                    }
                    Step::Ask(after, answer) => {
                        let mut questions = stock.questions(now, 2).into_iter();
                        let Some((wanted, unused)) = questions.next() else { continue };
                        for unused in std::iter::once(unused).chain(questions.map(|(_, unused)| unused)) {
                            give_back(&mut accounts, unused);
                        }
                        prop_assert!(stock.left + wanted <= COUNT / 20, "more than its part");
                        let asked_at = now;
                        now += after * MILLI;
                        if wanted == 0 {
                            continue;
                        }
                        let lease = answer.map(|(good, percent, another)| {
                            part += i64::from(another);
                            let (granted, good_for) = (wanted * percent / 100, good * 100 * MILLI);
                            let account = accounts.entry(part).or_default();
                            account.granted += granted;
                            account.ends = account.ends.max(asked_at + good_for);
                            SharedLease {
                                granted,
                                good_for: Duration::from_nanos(good_for),
                                from: LeasedFrom { period: part, begun: Timestamp::from_micros(0) },
                                remaining: 7,
                                resets_after: Duration::from_secs(9),
                            }
                        });
                        lost += u64::from(lease.is_none());
                        stock.answered(wanted, asked_at, lease.as_ref());
                    }
                }
            }
            for (_, unused) in stock.questions(u64::MAX, 0) {
                give_back(&mut accounts, unused);
            }
            for (part, account) in accounts {
                let Account { granted, used, given_back, .. } = account;
                prop_assert_eq!(granted, used + given_back, "{}, {} lost", part, lost);
            }
        }
    }

    #[test]
    fn more_is_taken_the_more_is_used_and_nothing_for_nobody() {
        let mut stock = stock();
        let mut now = 20_000 * MILLI;
        let lease = |granted, seconds| SharedLease {
            granted,
            good_for: Duration::from_secs(seconds),
            from: LeasedFrom { period: 1, begun: Timestamp::from_micros(0) },
            remaining: 0,
            resets_after: Duration::ZERO,
        };
        assert!(!stock.note(3, now, 1), "too little to be worth it");
        assert!(stock.note(6, now, 1) && !stock.note(1, now, 1), "once until there is an answer");
        assert_eq!(stock.questions(now, 1), [(10, None)]);
        stock.answered(10, now, Some(&lease(10, 1)));
        assert!(stock.has(10, now) && !stock.has(11, now));
        assert_eq!(stock.questions(now, 1), [], "it has what it wants");
        stock.take(5);
        assert!(stock.note(5, now, 1), "little is left");
        assert_eq!(stock.questions(now, 1), [(10, None)]);
        // There was nothing: nobody asks again for a while.
        stock.answered(10, now, Some(&lease(0, 1)));
        assert!(!stock.note(1, now, 1));
        // What it is good for is over, and it is given back; asked for is what was used before.
        now += 1_000 * MILLI;
        assert!(!stock.has(1, now));
        let from = LeasedFrom { period: 1, begun: Timestamp::from_micros(0) };
        assert_eq!(stock.questions(now, 1), [(16, Some(UnusedLease { from, amount: 5 }))]);
        stock.answered(16, now, Some(&lease(16, 1)));
        // Nobody comes for two terms.
        now += 10_000 * MILLI;
        assert_eq!(stock.questions(now, 1), [(0, Some(UnusedLease { from, amount: 16 }))]);
        assert_eq!(stock.next_look(now), None);
        // Of many instances each has little, and nothing where nobody knows how many there are.
        stock.note(500, now, 1);
        assert_eq!(stock.questions(now, 4), [(25, None)]);
        assert_eq!(stock.questions(now, 0), []);
    }
}
