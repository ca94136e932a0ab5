//! Which days of a question are whole.

use crate::Period;

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// A stretch of one of the periods of a [`UsageQuery`](crate::UsageQuery): from `start` on, and before
/// `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageSlice {
    /// Of the how manieth period, from zero on.
    pub place: i64,
    /// Where it begins.
    pub start: i64,
    /// Where it ends.
    pub end: i64,
}

pub(super) fn whole_days(periods: impl Iterator<Item = Period>) -> Vec<UsageSlice> {
    let whole = |(place, period)| {
        let (start, end) = days_within(period);
        UsageSlice { place, start, end }
    };
    (0..).zip(periods).map(whole).filter(UsageSlice::is_any).collect()
}

pub(super) fn parts_of_days(periods: impl Iterator<Item = Period>) -> Vec<UsageSlice> {
    let parts = |(place, period): (i64, Period)| {
        let (start, end) = (period.start.as_micros(), period.end.as_micros());
        let (first, after) = days_within(period);
        [
            UsageSlice { place, start, end: end.min(first * DAY) },
            UsageSlice { place, start: start.max(after * DAY), end },
        ]
    };
    (0..).zip(periods).flat_map(parts).filter(UsageSlice::is_any).collect()
}

/// The first whole day, and the first after the last: not before the first.
fn days_within(period: Period) -> (i64, i64) {
    let (start, end) = (period.start.as_micros(), period.end.as_micros());
    let first = start.div_euclid(DAY) + i64::from(start.rem_euclid(DAY) > 0);
    (first, end.div_euclid(DAY).max(first))
}

impl UsageSlice {
    const fn is_any(&self) -> bool {
        self.start < self.end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Timestamp;

    fn period(start: i64, end: i64) -> Period {
        Period { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) }
    }

    proptest! {
        /// Whatever the periods are, each instant of them is in one slice, and no other is in any.
        #[test]
        fn slices_are_all_of_a_period_and_nothing_twice(
            bounds in proptest::collection::btree_set(0..DAY * 5, 0..8),
            at in 0..DAY * 5,
        ) {
            // Midnights are likelier in life than here.
            let bound = |at: i64| if at % 3 == 0 { at - at % DAY } else { at };
            let mut bounds: Vec<_> = bounds.into_iter().map(bound).collect();
            bounds.sort_unstable();
            bounds.dedup();
            for at in bounds.iter().copied().chain([at]) {
                let periods =
                    || bounds.iter().zip(bounds.iter().skip(1)).map(|(&start, &end)| period(start, end));
                let expected = periods().position(|period| (period.start.as_micros()..period.end.as_micros()).contains(&at));
                let days = whole_days(periods());
                let parts = parts_of_days(periods());
                let found: Vec<_> = days
                    .iter()
                    .filter(|slice| (slice.start * DAY..slice.end * DAY).contains(&at))
                    .chain(parts.iter().filter(|slice| (slice.start..slice.end).contains(&at)))
                    .map(|slice| usize::try_from(slice.place).expect("a place"))
                    .collect();
                prop_assert_eq!(found, Vec::from_iter(expected));
            }
        }
    }

    #[test]
    fn what_is_within_a_day_is_one_slice() {
        let within = || [period(5, 9)].into_iter();
        assert_eq!(whole_days(within()), []);
        assert_eq!(parts_of_days(within()), [UsageSlice { place: 0, start: 5, end: 9 }]);
    }
}
