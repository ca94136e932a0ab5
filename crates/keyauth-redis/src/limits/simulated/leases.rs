//! What is taken ahead in simulated time.

use std::time::Duration;

use keyauth_core::{
    Counted, LeaseTurn, LeasedFrom, Limit, LimitWindow, Limited, LookupError, SharedLease,
    SharedLeaseQuestion, SharedLimits, UnusedLease,
};
use keyauth_testkit::Passed;
use keyauth_testkit::conformance::limiter::limited_key;

use super::{Log, Random, SECOND, Simulation};

/// Somebody who takes ahead.
#[derive(Default)]
struct Holder {
    turn: u64,
    /// What was asked last, and what the answer was.
    last: Option<(SharedLeaseQuestion, SharedLease)>,
    /// What is left, of what, and until when it is good.
    held: Option<(u64, LeasedFrom, i64)>,
}

impl Simulation {
    /// Has a holder take so much, and give back what it has, some time before which it asked. Says
    /// what it was given.
    async fn lease(
        &mut self,
        who: usize,
        holder: &mut Holder,
        limited: &Limited,
        wanted: u64,
        late: i64,
    ) -> u64 {
        let asked_at = self.now;
        let unused = holder.held.take().map(|(amount, from, _)| UnusedLease { from, amount });
        self.wait(late).await;
        holder.turn += 1;
        let subject = limited.subject(Counted::Key).expect("a key");
        let limit = limited.limits()[0].limit.clone();
        let question = SharedLeaseQuestion { subject, limit, wanted, unused };
        let lease =
            self.send(who, LeaseTurn::First(holder.turn), &question).await.expect("an answer");
        holder.last = Some((question, lease));
        let good_for = i64::try_from(lease.good_for.as_micros()).expect("a time");
        holder.held = Some((lease.granted, lease.from, asked_at + good_for));
        lease.granted
    }

    async fn send(
        &self,
        who: usize,
        turn: LeaseTurn,
        question: &SharedLeaseQuestion,
    ) -> Result<SharedLease, LookupError> {
        let questions = std::slice::from_ref(question);
        let leases = self.limits.lease(&who.to_string(), turn, questions).await?;
        leases.first().copied().ok_or_else(|| LookupError::unavailable("a turn that is over"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_ahead_exceeds_no_limit_in_any_window() {
    let mut simulation = Simulation::start().await;
    let mut random = Random(11);
    let (day, most) = (86_400 * SECOND, 12);
    let rolling = Limit::new("any", most, LimitWindow::Rolling(Duration::from_secs(20)));
    let mut holders: [Holder; 3] = Default::default();
    for (limit, window) in [(rolling, 20 * SECOND), (Limit::per_day(most), day)] {
        let limited = limited_key([limit.of_cost()]);
        for holder in &mut holders {
            (holder.held, holder.last) = (None, None);
        }
        let mut log = Log::new();
        for _ in 0..1_000 {
            let pause = match random.below(16) {
                0..13 => 0,
                // The edges of parts, and a moment before.
                13 => window / 20 - simulation.now % (window / 20) - random.below(2),
                14 => random.below(window / 20),
                _ => random.below(window / 5),
            };
            simulation.wait(pause).await;
            let who = usize::try_from(random.below(3)).expect("a holder");
            let cost = u64::try_from(1 + random.below(5)).expect("a cost");
            let holder = &mut holders[who];
            match random.below(8) {
                0 => {
                    if simulation.passes(&limited, 1).await {
                        log.push(Passed::at(simulation.now, 1));
                    }
                }
                1 | 2 => {
                    let late = random.below(window / 40);
                    simulation.lease(who, holder, &limited, cost, late).await;
                }
                3 => {
                    // What was sent comes again, late, and changes nothing.
                    if let Some((question, answer)) = &holder.last {
                        let again =
                            simulation.send(who, LeaseTurn::Again(holder.turn), question).await;
                        assert_eq!(again.expect("the same answer"), *answer);
                        let over =
                            simulation.send(who, LeaseTurn::Again(holder.turn - 1), question).await;
                        over.expect_err("a turn that is over");
                    }
                }
                _ => {
                    if let Some((left, _, until)) = &mut holder.held
                        && simulation.now < *until
                        && cost <= *left
                    {
                        *left -= cost;
                        log.push(Passed::at(simulation.now, cost));
                    }
                }
            }
        }
        // All at once, used when it is all but over; and then whoever comes first.
        for late in [0, window / 160] {
            // From the edge of a part, and from within it.
            simulation.wait(window * 2 - simulation.now % (window / 20) + late).await;
            assert_eq!(simulation.lease(0, &mut holders[0], &limited, most, late).await, most);
            let (left, _, until) = holders[0].held.take().expect("it was granted");
            assert!(until > simulation.now);
            simulation.wait(until - 1 - simulation.now).await;
            log.push(Passed::at(simulation.now, left));
            for _ in 0..220 {
                simulation.wait(window / 200).await;
                if simulation.passes(&limited, most).await {
                    log.push(Passed::at(simulation.now, most));
                }
            }
        }
        let used = match window == day {
            true => Passed::most_in_each(&log, day, 0),
            false => Passed::most_in_any(&log, window),
        };
        assert_eq!(used, most, "the bound is reached, and not exceeded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_back_goes_to_the_count_it_came_from() {
    let mut simulation = Simulation::start().await;
    let mut holder = Holder::default();
    for limit in [Limit::per_minute(10), Limit::per_day(10)] {
        let limited = limited_key([limit.clone()]);
        assert_eq!(simulation.passing(&limited, 1).await, 1);
        assert_eq!(simulation.lease(0, &mut holder, &limited, 99, 0).await, 9, "what is there");
        assert_eq!(simulation.passing(&limited, 1).await, 0);
        assert_eq!(simulation.lease(0, &mut holder, &limited, 4, 0).await, 4);
        assert_eq!(simulation.passing(&limited, 9).await, 5, "what was given back");
        // A count that is begun anew, by a reset or because it was lost, owes nothing to anybody.
        let subject = limited.subject(Counted::Key).expect("a key");
        for lost in [false, true] {
            if lost {
                assert_eq!(simulation.servers.ask(0, &["FLUSHALL"]), "OK");
                simulation.set(simulation.now + 1);
                assert_eq!(simulation.passing(&limited, 1).await, 1);
            } else {
                simulation.limits.reset(&subject).await.expect("reset");
                simulation.wait(1).await;
                assert_eq!(simulation.passing(&limited, 1).await, 1);
            }
            assert_eq!(simulation.lease(0, &mut holder, &limited, 0, 0).await, 0);
            assert_eq!(simulation.passing(&limited, 20).await, 9, "{limit:?}, {lost}");
            simulation.limits.reset(&subject).await.expect("reset");
            assert_eq!(simulation.passing(&limited, 3).await, 3);
            assert_eq!(simulation.lease(0, &mut holder, &limited, 3, 0).await, 3);
        }
    }
    // Of a turn that is not known any more nobody can say whether it was done.
    let (question, _) = holder.last.take().expect("it has asked");
    assert_eq!(simulation.servers.ask(0, &["FLUSHALL"]), "OK");
    simulation.set(simulation.now + 1);
    let again = simulation.send(0, LeaseTurn::Again(holder.turn), &question).await;
    again.expect_err("nobody knows");
    // Nothing is taken of a day of which nobody knows what was used.
    let limited = limited_key([Limit::per_day(10)]);
    assert_eq!(simulation.lease(9, &mut Holder::default(), &limited, 5, 0).await, 0);
    let none = limited_key([Limit::per_minute(0)]);
    assert_eq!(
        simulation.lease(9, &mut Holder { turn: 1, ..Holder::default() }, &none, 5, 0).await,
        0
    );
}
