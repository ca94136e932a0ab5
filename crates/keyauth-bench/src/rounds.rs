//! Rounds, in which all that is compared has its turn.

use std::time::Duration;

/// What was measured of several things, round by round.
#[derive(Debug)]
pub(crate) struct Rounds<const N: usize>(Vec<[f64; N]>);

impl<const N: usize> Rounds<N> {
    /// Has each thing its turn in each round, another one first each time. The first round is not
    /// counted.
    pub(crate) fn run(rounds: usize, things: [&mut dyn FnMut() -> Duration; N]) -> Self {
        let mut things = Vec::from(things);
        let mut all = Vec::with_capacity(rounds);
        for round in 0..=rounds {
            let mut times = [0.0; N];
            for turn in 0..N {
                let at = (round + turn) % N;
                times[at] = things[at]().as_nanos() as f64;
            }
            all.push(times);
        }
        all.remove(0);
        Self(all)
    }

    /// The median of what each round comes to.
    pub(crate) fn median(&self, of: impl Fn([f64; N]) -> f64) -> f64 {
        let mut figures: Vec<_> = self.0.iter().map(|times| of(*times)).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_and_the_first_round_does_not_count() {
        let mut order = Vec::new();
        let order = std::cell::RefCell::new(&mut order);
        let thing = |name, times: [u64; 3]| {
            let (order, mut times) = (&order, times.into_iter());
            move || {
                order.borrow_mut().push(name);
                Duration::from_nanos(times.next().expect("a time"))
            }
        };
        let (mut a, mut b) = (thing('a', [900, 10, 30]), thing('b', [900, 10, 10]));
        let rounds = Rounds::run(2, [&mut a, &mut b]);
        assert_eq!(rounds.median(|[_, b]| b), 10.0);
        assert_eq!(rounds.median(|[a, b]| a / b), 3.0);
        drop((a, b));
        assert_eq!(order.into_inner().iter().collect::<String>(), "abbaab");
    }
}
