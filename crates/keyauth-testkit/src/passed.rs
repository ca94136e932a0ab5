//! What limits let through, looked at in every window.

use std::collections::HashMap;

/// A call that was let through: between two moments, of which the unit and the zero are whatever
/// they are, and at what cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    from: i64,
    to: i64,
    cost: u64,
}

impl Passed {
    /// At a moment that is known.
    #[must_use]
    pub const fn at(moment: i64, cost: u64) -> Self {
        Self { from: moment, to: moment, cost }
    }

    /// Between two that are.
    #[must_use]
    pub const fn between(from: i64, to: i64) -> Self {
        Self { from, to, cost: 1 }
    }

    /// The most that passed in any stretch of a length, its beginning included and its end not;
    /// without those that may have passed outside of it.
    #[must_use]
    pub fn most_in_any(log: &[Self], length: i64) -> u64 {
        let within = |passed: &&Self| passed.to - passed.from < length;
        let sorted = |when: fn(&Self) -> i64| {
            let mut moments: Vec<_> =
                log.iter().filter(within).map(|passed| (when(passed), passed.cost)).collect();
            moments.sort_unstable();
            moments
        };
        let (begun, ended) = (sorted(|passed| passed.from), sorted(|passed| passed.to));
        // None is as long as a stretch: who began before it ended before its end.
        let (mut most, mut before, mut until) = (0, 0, 0);
        let mut ended = ended.into_iter().peekable();
        let mut previous = None;
        let mut sum_before = 0;
        for (start, cost) in begun {
            if previous != Some(start) {
                sum_before = before;
                previous = Some(start);
            }
            while let Some((_, cost)) = ended.next_if(|(end, _)| *end < start + length) {
                until += cost;
            }
            most = most.max(until - sum_before);
            before += cost;
        }
        most
    }

    /// The most that passed in any stretch that begins with a multiple of its length, as days of
    /// UTC do, where the first moment is so far into one.
    #[must_use]
    pub fn most_in_each(log: &[Self], length: i64, into: i64) -> u64 {
        let mut each = HashMap::<_, u64>::new();
        for passed in log {
            *each.entry((passed.from + into).div_euclid(length)).or_default() += passed.cost;
        }
        each.into_values().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_is_looked_at() {
        let at = |moments: &[i64]| moments.iter().map(|at| Passed::at(*at, 1)).collect::<Vec<_>>();
        assert_eq!(Passed::most_in_any(&[], 10), 0);
        assert_eq!(Passed::most_in_any(&at(&[3, 3, 3]), 1), 3);
        assert_eq!(Passed::most_in_any(&at(&[0, 9, 10, 18, 19, 20]), 10), 3);
        assert_eq!(Passed::most_in_any(&[Passed::at(0, 5), Passed::at(10, 7)], 10), 7);
        assert_eq!(Passed::most_in_any(&[Passed::at(0, 5), Passed::at(9, 7)], 10), 12);
        assert_eq!(Passed::most_in_each(&at(&[0, 9, 10, 18, 19, 20]), 10, 0), 3);
        assert_eq!(Passed::most_in_each(&at(&[8, 9, 10, -1]), 10, 0), 2);
        assert_eq!(Passed::most_in_each(&at(&[8, 9, 10, -1]), 10, 1), 2);
        // Who may have passed before or after does not count.
        let log = [Passed::between(0, 9), Passed::between(5, 14), Passed::between(14, 15)];
        assert_eq!(Passed::most_in_any(&log, 10), 1);
        assert_eq!(Passed::most_in_any(&log, 15), 2);
        assert_eq!(Passed::most_in_any(&log, 16), 3);
    }
}
