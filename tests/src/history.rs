//! What a fleet has answered, checked against what was changed meanwhile.
//!
//! Whoever asks writes down each request with the moments before it was sent and after its answer
//! had come, and each change with those around its acknowledgement. A decision was taken somewhere
//! between the two moments of its request, and so was a change: what cannot be so, wherever in
//! between, is a [`Violation`].

use std::collections::HashMap;
use std::time::Duration;

/// A moment by the clock of whoever asks, which only goes forward.
pub type Moment = Duration;

/// A key, by whatever number whoever asks has given it.
pub type Key = usize;

/// A process of the fleet.
pub type Instance = usize;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// With which key.
    pub key: Key,
    /// Whom.
    pub instance: Instance,
    /// Before it was sent.
    pub start: Moment,
    /// After the answer had come.
    pub end: Moment,
    /// The answer.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else")]
pub enum Outcome {
    /// It was let through.
    Admitted,
    /// It was told that the key is none that is good: by its state, and not by what it has used.
    Refused,
    /// It was told that a limit or a budget is used up.
    Held,
    /// There was no answer, or one that says there is none.
    Unanswered,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Of which key.
    pub key: Key,
    /// Who was asked to make it.
    pub instance: Instance,
    /// Whether the key is good after it.
    pub good: bool,
    /// Before it was asked for.
    pub start: Moment,
    /// When that was acknowledged; `None` where nobody knows whether it was made.
    pub acknowledged: Option<Moment>,
    /// Whether the acknowledgement says that all instances know.
    pub complete: bool,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In any order.
    pub asked: Vec<Asked>,
    /// In the order in which they were asked for, of each key one after the other.
    pub changed: Vec<Changed>,
}

/// What cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else")]
pub enum Violation {
    /// A request was let through with a key that was not good any more, or never was, for so long.
    Admitted(Asked, Duration),
    /// A request was refused with a key that was good, since so long.
    Refused(Asked, Duration),
}

/// How much later than its acknowledgement a change counts.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Where it does not say that all instances know, in those that it was not made through.
    pub staleness: Duration,
    /// Until a new key, or one that is good again, is known everywhere.
    pub arrival: Duration,
    /// One that may be longer behind, and for how long.
    pub behind: Option<(Instance, Duration)>,
}

impl Bounds {
    fn staleness_of(&self, instance: Instance) -> Duration {
        match self.behind {
            Some((behind, staleness)) if behind == instance => staleness,
            _ => self.staleness,
        }
    }
}

impl History {
    /// Adds what another one tells of.
    pub fn extend(&mut self, other: Self) {
        self.asked.extend(other.asked);
        self.changed.extend(other.changed);
    }

    /// Everything that cannot be. A key without changes is one that never was.
    #[must_use]
    pub fn violations(&self, bounds: Bounds) -> Vec<Violation> {
        let mut changes: HashMap<Key, Vec<&Changed>> = HashMap::new();
        for change in &self.changed {
            changes.entry(change.key).or_default().push(change);
        }
        let none = Vec::new();
        let violation = |asked: &Asked| {
            let changes = changes.get(&asked.key).unwrap_or(&none);
            match asked.outcome {
                Outcome::Admitted => {
                    let since = since(changes, asked, false, bounds)?;
                    Some(Violation::Admitted(asked.clone(), asked.start.saturating_sub(since)))
                }
                Outcome::Refused => {
                    let since = since(changes, asked, true, bounds)?;
                    Some(Violation::Refused(asked.clone(), asked.start.saturating_sub(since)))
                }
                Outcome::Held | Outcome::Unanswered => None,
            }
        };
        self.asked.iter().filter_map(violation).collect()
    }

    /// How long after each acknowledged end of a key each other instance has let a request through
    /// that began then, in order; zero where it has let none.
    #[must_use]
    pub fn staleness(&self, instances: usize) -> Vec<Duration> {
        let mut last: HashMap<(Key, Instance), Moment> = HashMap::new();
        for asked in self.asked.iter().filter(|asked| asked.outcome == Outcome::Admitted) {
            let last = last.entry((asked.key, asked.instance)).or_default();
            *last = (*last).max(asked.start);
        }
        let ends = self.changed.iter().filter(|change| !change.good);
        let lags = ends.flat_map(|change| {
            let others = (0..instances).filter(|instance| *instance != change.instance);
            let lag = |instance| {
                let at = change.acknowledged?;
                let last = last.get(&(change.key, instance)).copied().unwrap_or_default();
                Some(last.saturating_sub(at))
            };
            others.filter_map(lag).collect::<Vec<_>>()
        });
        let mut lags: Vec<_> = lags.collect();
        lags.sort_unstable();
        lags
    }

    /// How many requests came to that.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.asked.iter().filter(|asked| asked.outcome == outcome).count()
    }
}

/// Since when a key surely was good, or surely was not, during the whole of a request; `None` where
/// it may have been otherwise at a moment of it.
fn since(changes: &[&Changed], asked: &Asked, good: bool, bounds: Bounds) -> Option<Moment> {
    // What was before all changes: no key.
    let mut since = (!good).then_some(Moment::ZERO);
    let mut made = Vec::new();
    for change in changes {
        // One that nobody has acknowledged may have been made, or not, or later.
        if change.start <= asked.end {
            made.push(*change);
        }
    }
    for change in made {
        if change.good != good {
            since = None;
            continue;
        }
        let Some(acknowledged) = change.acknowledged else { continue };
        let known = if change.instance == asked.instance || (change.complete && !good) {
            acknowledged
        } else if good {
            acknowledged + bounds.arrival
        } else {
            acknowledged + bounds.staleness_of(asked.instance)
        };
        // It surely is so since the first of several that say so.
        since = since.or((known < asked.start).then_some(known));
    }
    since
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { staleness: ms(5_000), arrival: ms(2_000), behind: None };

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn asked(instance: Instance, start: u64, end: u64, outcome: Outcome) -> Asked {
        Asked { key: 1, instance, start: ms(start), end: ms(end), outcome }
    }

    fn changed(good: bool, start: u64, acknowledged: Option<u64>, complete: bool) -> Changed {
        let acknowledged = acknowledged.map(ms);
        Changed { key: 1, instance: 0, good, start: ms(start), acknowledged, complete }
    }

    /// A key that is issued, disabled and enabled, each by a complete acknowledgement, and revoked
    /// without one.
    fn history(asked: Asked) -> History {
        History {
            asked: vec![asked],
            changed: vec![
                changed(true, 100, Some(110), true),
                changed(false, 10_000, Some(10_010), true),
                changed(true, 20_000, Some(20_010), true),
                changed(false, 30_000, Some(30_010), false),
            ],
        }
    }

    #[track_caller]
    fn fine(asked: Asked) {
        assert_eq!(history(asked).violations(BOUNDS), []);
    }

    #[track_caller]
    fn wrong(asked: Asked, by: u64) {
        let expected = match asked.outcome {
            Outcome::Admitted => Violation::Admitted(asked.clone(), ms(by)),
            _ => Violation::Refused(asked.clone(), ms(by)),
        };
        assert_eq!(history(asked).violations(BOUNDS), [expected]);
    }

    #[test]
    fn planted_violations_are_found_and_nothing_else() {
        use Outcome::{Admitted, Held, Refused, Unanswered};
        // Before it was asked for, it is nobody's.
        wrong(asked(0, 50, 90, Admitted), 50);
        fine(asked(0, 50, 101, Admitted));
        fine(asked(0, 50, 90, Refused));
        // From its acknowledgement on it is good; elsewhere when the news has arrived.
        wrong(asked(0, 120, 130, Refused), 10);
        fine(asked(1, 120, 130, Refused));
        wrong(asked(1, 3_000, 3_010, Refused), 890);
        fine(asked(1, 120, 130, Admitted));
        // While the change is under way both are right, and after a complete one nowhere.
        fine(asked(1, 10_005, 10_020, Admitted));
        fine(asked(1, 10_005, 10_020, Refused));
        wrong(asked(1, 10_011, 10_020, Admitted), 1);
        wrong(asked(0, 10_011, 10_020, Admitted), 1);
        // A request that is still under way when it is enabled again may be let through.
        fine(asked(1, 10_011, 20_001, Admitted));
        wrong(asked(1, 10_011, 19_999, Admitted), 1);
        // Without one, other instances have their time, and the one that made it has none.
        wrong(asked(0, 30_020, 30_030, Admitted), 10);
        fine(asked(1, 35_000, 35_030, Admitted));
        wrong(asked(1, 35_020, 35_030, Admitted), 10);
        // What was decided by use, or not at all, says nothing.
        for outcome in [Held, Unanswered] {
            fine(asked(0, 50, 90, outcome));
            fine(asked(0, 30_020, 30_030, outcome));
        }
    }

    #[test]
    fn one_may_be_longer_behind_and_no_other() {
        let bounds = Bounds { behind: Some((2, ms(65_000))), ..BOUNDS };
        let found = |instance, start| {
            let asked = asked(instance, start, start + 10, Outcome::Admitted);
            history(asked).violations(bounds).len()
        };
        assert_eq!([found(1, 35_020), found(2, 35_020)], [1, 0]);
        assert_eq!([found(1, 95_020), found(2, 95_020)], [1, 1]);
    }

    #[test]
    fn what_nobody_has_acknowledged_may_have_been_made() {
        for outcome in [Outcome::Admitted, Outcome::Refused] {
            let history = History {
                asked: vec![asked(1, 90_000, 90_010, outcome)],
                changed: vec![
                    changed(true, 100, Some(110), true),
                    changed(false, 200, None, false),
                ],
            };
            assert_eq!(history.violations(BOUNDS), []);
        }
    }

    #[test]
    fn a_second_revocation_does_not_make_the_first_one_later() {
        let mut history = history(asked(1, 35_020, 35_030, Outcome::Admitted));
        history.changed.push(changed(false, 34_000, Some(34_010), false));
        assert_eq!(history.violations(BOUNDS).len(), 1);
    }

    #[test]
    fn staleness_is_that_of_other_instances() {
        let mut history = history(asked(1, 30_050, 30_060, Outcome::Admitted));
        history.asked.push(asked(0, 30_500, 30_600, Outcome::Admitted));
        history.asked.push(asked(2, 30_500, 30_600, Outcome::Refused));
        // Of the end before that was enabled again, too: it is for whoever asks to ask about one.
        history.changed.drain(..3);
        assert_eq!(history.staleness(3), [ms(0), ms(40)]);
    }
}
