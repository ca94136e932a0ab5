//! That what is taken ahead is used in time, once, or given back.

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
    /// is of another part than before. Or it is reset before the answer is there.
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
        let (mut now, mut part) = (1, 0);
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
                    let resets = stock.resets();
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
                    // It is sent again until there is an answer.
                    let (good, percent, another) = answer.unwrap_or((0, 100, true));
                    let lease = {
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
                    };
                    if answer.is_none() {
                        stock.reset();
                    }
                    stock.answered(wanted, asked_at, resets, &lease);
                }
            }
        }
        for (_, unused) in stock.questions(u64::MAX, 0) {
            give_back(&mut accounts, unused);
        }
        for (part, account) in accounts {
            let Account { granted, used, given_back, .. } = account;
            prop_assert_eq!(granted, used + given_back, "of {}", part);
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
    stock.answered(10, now, 0, &lease(10, 1));
    assert!(stock.has(10, now) && !stock.has(11, now));
    assert_eq!(stock.questions(now, 1), [], "it has what it wants");
    stock.take(5);
    assert!(stock.note(5, now, 1), "little is left");
    assert_eq!(stock.questions(now, 1), [(10, None)]);
    // There was nothing: nobody asks again for a while.
    stock.answered(10, now, 0, &lease(0, 1));
    assert!(!stock.note(1, now, 1));
    // What it is good for is over, and it is given back; asked for is what was used before.
    now += 1_000 * MILLI;
    assert!(!stock.has(1, now));
    let from = LeasedFrom { period: 1, begun: Timestamp::from_micros(0) };
    assert_eq!(stock.questions(now, 1), [(16, Some(UnusedLease { from, amount: 5 }))]);
    stock.answered(16, now, 0, &lease(16, 1));
    // Nobody comes for two terms.
    now += 10_000 * MILLI;
    assert_eq!(stock.questions(now, 1), [(0, Some(UnusedLease { from, amount: 16 }))]);
    assert_eq!(stock.next_look(now), None);
    // Calls come, and another limit has them ask: nothing is taken for a while.
    stock.note_asked(500, now, 1);
    assert_eq!(stock.questions(now, 1), [(100, None)]);
    stock.answered(100, now, 0, &lease(100, 1));
    stock.note_asked(500, now, 1);
    now += 1_000 * MILLI;
    assert_eq!(stock.questions(now, 1), [(0, Some(UnusedLease { from, amount: 100 }))]);
    now += 40_000 * MILLI;
    assert!(!stock.note_asked(500, now, 1));
    now += 10_000 * MILLI;
    // Of many instances each has little, and nothing where nobody knows how many there are.
    stock.note(500, now, 1);
    assert_eq!(stock.questions(now, 4), [(25, None)]);
    assert_eq!(stock.questions(now, 0), []);
}
