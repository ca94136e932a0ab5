//! What is counted and reserved of one request, and what it comes to in the end.

use crate::{Amount, RateMultiplier, Reservation};

/// The state of one request's charge.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What the service says that was made, before it is multiplied.
    counted: Option<Amount>,
    /// What is reserved, each multiplied, in the order it was reserved in.
    reserved: Vec<(Amount, Reservation)>,
    /// Whether the service has answered, and not that it failed.
    answered: bool,
}

/// What is to be booked.
#[derive(Debug)]
pub(super) struct Booking {
    /// Reservations, and what each came to.
    pub(super) settled: Vec<(Reservation, Amount)>,
    /// What there was no reservation for.
    pub(super) unreserved: Amount,
    /// All of it.
    pub(super) all: Amount,
}

impl Tally {
    pub(super) fn set(&mut self, amount: Amount) {
        self.counted = Some(amount);
    }

    pub(super) fn add(&mut self, amount: Amount) {
        self.counted = Some(self.counted.unwrap_or_default().saturating_add(amount));
    }

    pub(super) fn reserve(&mut self, amount: Amount, reservation: Reservation) {
        self.reserved.push((amount, reservation));
    }

    pub(super) const fn answer(&mut self) {
        self.answered = true;
    }

    pub(super) fn reserved(&self) -> Amount {
        self.reserved.iter().fold(Amount::ZERO, |all, (amount, _)| all.saturating_add(*amount))
    }

    pub(super) fn counted(&self, rate: RateMultiplier) -> Amount {
        rate.apply(self.counted.unwrap_or_default())
    }

    /// What it all comes to: what was counted; where nothing was, all that is reserved, or nothing
    /// where the service did not answer.
    pub(super) fn close(&mut self, rate: RateMultiplier) -> Booking {
        let all = match self.counted {
            Some(counted) => rate.apply(counted).max(Amount::ZERO),
            None if self.answered => self.reserved(),
            None => Amount::ZERO,
        };
        let mut rest = all;
        let mut settled = Vec::with_capacity(self.reserved.len());
        for (reserved, reservation) in std::mem::take(&mut self.reserved) {
            let part = rest.min(reserved);
            rest = rest.saturating_sub(part);
            settled.push((reservation, part));
        }
        // What is beyond all of them is the last one's, to be charged as far as there is room.
        if let Some((_, last)) = settled.last_mut() {
            *last = last.saturating_add(std::mem::take(&mut rest));
        }
        Booking { settled, unreserved: rest, all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settle;

    struct Nothing;

    impl Settle for Nothing {
        fn settle(self: Box<Self>, _: Amount) {}
    }

    fn units(units: i64) -> Amount {
        Amount::from_units(units).expect("an amount")
    }

    #[track_caller]
    fn check(reserved: &[i64], happens: impl FnOnce(&mut Tally), expected: &[i64], beyond: i64) {
        let mut tally = Tally::default();
        for amount in reserved {
            tally.reserve(units(*amount), Reservation::new(Nothing));
        }
        happens(&mut tally);
        let booking = tally.close("2".parse().expect("a multiplier"));
        let settled: Vec<_> = booking.settled.iter().map(|(_, amount)| *amount).collect();
        let expected: Vec<_> = expected.iter().map(|amount| units(*amount)).collect();
        assert_eq!((settled, booking.unreserved), (expected, units(beyond)));
    }

    #[test]
    fn what_was_counted_counts_whatever_became_of_the_call() {
        check(&[10], |tally| tally.add(units(3)), &[6], 0);
        check(&[10], |tally| [1, 1].into_iter().for_each(|one| tally.add(units(one))), &[4], 0);
        check(&[10], |tally| tally.set(units(0)), &[0], 0);
        check(&[10], |tally| tally.add(units(-1)), &[0], 0);
        let both = |tally: &mut Tally| {
            tally.answer();
            tally.add(units(2));
            tally.set(units(1));
        };
        check(&[10], both, &[2], 0);
    }

    #[test]
    fn where_nothing_was_counted_an_answer_costs_what_is_reserved() {
        check(&[10, 5], Tally::answer, &[10, 5], 0);
        check(&[10, 5], |_| {}, &[0, 0], 0);
        check(&[], Tally::answer, &[], 0);
    }

    #[test]
    fn reservations_are_filled_in_order_and_the_last_takes_what_is_beyond() {
        check(&[10, 5], |tally| tally.add(units(6)), &[10, 2], 0);
        check(&[10, 5], |tally| tally.add(units(9)), &[10, 8], 0);
        check(&[], |tally| tally.add(units(9)), &[], 18);
    }
}
