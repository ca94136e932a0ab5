//! When budgets begin anew.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetState, BudgetWindow, ChargeId, ChargedBudget, Ledger, LimitedSubject,
    MemoryLedger, NewCharge, Reserved, TenantId, TimeZone, Timestamp, WhenAbandoned,
};
use keyauth_testkit::{FakeClock, at_once};

const HOUR: Duration = Duration::from_secs(3_600);

struct Books {
    clock: Arc<FakeClock>,
    ledger: MemoryLedger,
    budget: ChargedBudget,
    charges: u32,
}

impl Books {
    /// With a budget of ten, from the first of June 2026 in UTC, a Monday, at noon.
    fn open(window: BudgetWindow, zone: &str) -> Self {
        let clock = Arc::new(FakeClock::at(Timestamp::from_unix_seconds(1_780_315_200)));
        let budget = Budget::new(Amount::from_units(10).expect("an amount"), window);
        let budget = budget.in_zone(TimeZone::named(zone).expect("a zone"));
        let subject = LimitedSubject::Tenant(TenantId::default());
        let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as _);
        Self { clock, ledger, budget: ChargedBudget { subject, budget }, charges: 0 }
    }

    /// Charges one, and says whether there was room.
    fn charge(&mut self) -> bool {
        self.charges += 1;
        let one = Amount::from_units(1).expect("an amount");
        let charge = NewCharge {
            id: ChargeId::new(self.charges.to_string()).expect("an id"),
            budgets: vec![self.budget.clone()],
            amount: one,
            when_abandoned: WhenAbandoned::GivenBack,
        };
        let reserved = at_once(self.ledger.reserve(&charge, HOUR)).expect("an answer");
        if let Reserved::Exhausted { .. } = reserved {
            return false;
        }
        at_once(self.ledger.settle(&charge.id, one)).expect("an answer");
        true
    }

    fn charges(&mut self, count: usize) -> usize {
        (0..count).filter(|_| self.charge()).count()
    }

    fn state(&self) -> BudgetState {
        let states = at_once(self.ledger.states(std::slice::from_ref(&self.budget)));
        *states.expect("an answer").first().expect("one")
    }

    /// For how many hours the window goes on.
    fn hours_left(&self) -> u64 {
        let ends = self.state().ends_at.expect("it does");
        let now = keyauth_core::Clock::now(&*self.clock);
        u64::try_from(ends.as_micros() - now.as_micros()).expect("later") / 3_600_000_000
    }
}

#[test]
fn hours_are_counted_from_the_first_charge() {
    let mut books = Books::open(BudgetWindow::Hours(5), "UTC");
    assert_eq!(books.state().began_at, None);
    books.clock.advance(HOUR * 100);
    assert_eq!(books.charges(4), 4);
    assert_eq!(books.hours_left(), 5);
    books.clock.advance(HOUR * 4);
    assert_eq!(books.charges(9), 6);
    assert_eq!(books.hours_left(), 1, "further charges do not move the end");
    books.clock.advance(HOUR - Duration::from_micros(1));
    assert_eq!(books.charges(1), 0);
    books.clock.advance(Duration::from_micros(1));
    assert_eq!(books.state().used, Amount::ZERO);
    assert_eq!(books.state().began_at, None, "not before the next charge");
    assert_eq!(books.charges(20), 10);
    assert_eq!(books.hours_left(), 5);
}

#[test]
fn days_weeks_and_months_are_the_zones() {
    // Noon in UTC is 14 o'clock there.
    for (window, hours) in [
        (BudgetWindow::Day, 10),
        (BudgetWindow::Week, 10 + 6 * 24),
        (BudgetWindow::Month, 10 + 29 * 24),
    ] {
        let mut books = Books::open(window, "Europe/Berlin");
        assert_eq!(books.charges(20), 10);
        assert_eq!(books.hours_left(), hours, "{window:?}");
        books.clock.advance(HOUR * u32::try_from(hours).expect("a count"));
        assert_eq!(books.charges(20), 10, "{window:?}");
    }
    let mut books = Books::open(BudgetWindow::Total, "UTC");
    assert_eq!(books.charges(20), 10);
    books.clock.advance(HOUR * 24 * 4_000);
    assert_eq!(books.charges(20), 0);
}

#[test]
fn a_clock_that_goes_back_opens_no_window_again() {
    // M15
    let noon = Timestamp::from_unix_seconds(1_780_315_200);
    for window in [BudgetWindow::Hours(5), BudgetWindow::Day, BudgetWindow::Week] {
        let mut books = Books::open(window, "UTC");
        assert_eq!(books.charges(10), 10);
        let state = books.state();
        books.clock.set_wall(Timestamp::from_unix_seconds(1_780_315_200 - 86_400 * 20));
        assert_eq!(books.charges(3), 0, "{window:?}");
        assert_eq!(books.state(), state);
        books.clock.set_wall(noon);
        assert_eq!(books.charges(3), 0);
    }
}

#[test]
fn what_is_reserved_when_a_window_ends_stays_so() {
    let mut books = Books::open(BudgetWindow::Day, "UTC");
    let ten = Amount::from_units(10).expect("an amount");
    let charge = NewCharge {
        id: ChargeId::new("all").expect("an id"),
        budgets: vec![books.budget.clone()],
        amount: ten,
        when_abandoned: WhenAbandoned::GivenBack,
    };
    at_once(books.ledger.reserve(&charge, HOUR * 24)).expect("an answer");
    books.clock.advance(HOUR * 13);
    assert_eq!(books.state().reserved, ten);
    assert!(!books.charge(), "it may still come to that");
    at_once(books.ledger.settle(&charge.id, ten)).expect("an answer");
    let state = books.state();
    assert_eq!((state.used, state.reserved), (ten, Amount::ZERO));
    assert!(state.ends_at.is_some(), "of the day in which it was settled");
}
