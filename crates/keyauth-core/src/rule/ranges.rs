//! Ranges of numbers, and whether one of them holds a number.

/// How many bounds stand under one of the index: as many as are counted in about the time that it
/// takes to fetch one from memory.
const STEP: usize = 64;

/// Ranges as the bounds at which they begin and end by turns, so that whoever has an odd number of
/// them behind him is within one.
///
/// Few pieces of memory are read, however many ranges there are: that is what such a search takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges<N> {
    /// Ascending: the first number of a range, and the first one after it, unless it ends with all
    /// numbers.
    bounds: Box<[N]>,
    /// Every so many of them.
    index: Box<[N]>,
}

impl<N: Copy + Ord> Ranges<N> {
    /// The ranges from a first number to a last one, in any order; with what comes after a number.
    pub(super) fn new(mut ranges: Vec<(N, N)>, after: impl Fn(N) -> Option<N>) -> Self {
        ranges.sort_unstable();
        let mut bounds = Vec::new();
        let mut ranges = ranges.into_iter().peekable();
        while let Some((first, mut last)) = ranges.next() {
            // Those that overlap or touch become one.
            while let Some((_, other)) =
                ranges.next_if(|(next, _)| after(last).is_none_or(|end| *next <= end))
            {
                last = last.max(other);
            }
            bounds.push(first);
            bounds.extend(after(last));
        }
        let index = bounds.iter().step_by(STEP).copied().collect();
        Self { bounds: bounds.into(), index }
    }

    pub(super) fn contain(&self, number: N) -> bool {
        let steps = self.index.partition_point(|bound| *bound <= number);
        let under = steps.checked_sub(1).and_then(|step| self.bounds.chunks(STEP).nth(step));
        // Counted and not searched for: all of them are fetched at once so. Those before are even.
        under.is_some_and(|bounds| bounds.iter().filter(|bound| **bound <= number).count() % 2 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_number_is_in_those_that_hold_it(
            ranges in vec((0_u32..4_000, 0_u32..6), 0..700),
            numbers in vec(0_u32..4_010, 50),
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(from, more)| (from, from + more)).collect();
            let all = Ranges::new(ranges.clone(), |n: u32| n.checked_add(1));
            for number in numbers.into_iter().chain([0, u32::MAX]) {
                let expected = ranges.iter().any(|(from, to)| (*from..=*to).contains(&number));
                prop_assert_eq!(all.contain(number), expected, "{}", number);
            }
        }
    }

    #[test]
    fn the_ends_of_all_numbers_are_held() {
        let all = Ranges::new(vec![(u128::MAX, u128::MAX), (0, 0)], |n: u128| n.checked_add(1));
        assert!(all.contain(0) && all.contain(u128::MAX));
        assert!(!all.contain(1) && !all.contain(u128::MAX - 1));
        assert!(Ranges::new(vec![(0, u32::MAX), (5, 9)], |n: u32| n.checked_add(1)).contain(7));
        assert!(!Ranges::new(Vec::new(), |n: u32| n.checked_add(1)).contain(0));
    }
}
