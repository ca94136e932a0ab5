//! A fleet in simulated time, over a counter whose answers are late, lost, or come twice: what was
//! let through is looked at in every window there is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyauth_core::{
    AppliedLimit, Clock, LeaseTurn, LeasedFrom, Limit, LimitDecision, LimitState, LimitWindow,
    Limited, LimitedCall, LimitedSubject, Limiter, LookupError, SharedDecision, SharedLease,
    SharedLeaseQuestion, SharedLimits, SharedPlace, SharedQuestion, SharedVerdict, Timestamp,
    TryAcquire, UnusedLease,
};
use keyauth_testkit::Passed;
use tokio::time::{Instant, sleep};

use super::Leases;
use crate::{FleetLimiter, WhenAway};

const WINDOW: Duration = Duration::from_secs(20);
const PART: i64 = 1_000_000;
const PARTS: i64 = 20;
const INSTANCES: u64 = 3;

/// The time that tokio has, which goes on when nobody has anything to do.
#[derive(Clone, Copy, Debug)]
struct Simulated(Instant);

impl Simulated {
    fn start() -> Self {
        Self(sleep(Duration::ZERO).deadline())
    }
}

impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        let micros = i64::try_from(self.uptime().as_micros()).expect("a time");
        Timestamp::from_micros(1_780_488_000_000_000 + micros)
    }

    fn uptime(&self) -> Duration {
        sleep(Duration::ZERO).deadline() - self.0
    }
}

/// Numbers that are the same in each run.
#[derive(Debug)]
struct Random(Mutex<u64>);

impl Random {
    fn below(&self, end: u64) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 33) % end
    }

    async fn wait(&self, millis: u64) {
        sleep(Duration::from_micros(self.below(1_000 * millis + 1))).await;
    }
}

/// A counter as Redis is one, by the contract of [`SharedLimits`].
#[derive(Clone, Debug)]
struct Counter {
    clock: Simulated,
    random: Arc<Random>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Of each limit, by part; and all that was ever taken and not given back.
    parts: HashMap<String, HashMap<i64, u64>>,
    net: HashMap<String, u64>,
    turns: HashMap<String, (u64, Vec<SharedLease>)>,
    /// Whether something was given back that was not taken there.
    wrong: bool,
}

impl Counts {
    fn used(&self, limit: &Limit, part: i64) -> u64 {
        let parts = self.parts.get(&limit.name);
        let counts = |(at, _): &(&i64, &u64)| **at >= part - PARTS;
        parts.map_or(0, |parts| parts.iter().filter(counts).map(|(_, used)| used).sum())
    }

    fn take(&mut self, limit: &Limit, part: i64, amount: u64) {
        let parts = self.parts.entry(limit.name.clone()).or_default();
        *parts.entry(part).or_default() += amount;
        *self.net.entry(limit.name.clone()).or_default() += amount;
    }

    fn give_back(&mut self, limit: &Limit, unused: UnusedLease) {
        let parts = self.parts.entry(limit.name.clone()).or_default();
        let part = parts.entry(unused.from.period).or_default();
        self.wrong |= *part < unused.amount;
        *part = part.saturating_sub(unused.amount);
        let net = self.net.entry(limit.name.clone()).or_default();
        *net = net.saturating_sub(unused.amount);
    }
}

fn count(limit: &Limit) -> u64 {
    match limit.count {
        keyauth_core::LimitCount::AtMost(count) => count,
        other => panic!("{other:?}"),
    }
}

impl Counter {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self) -> i64 {
        self.clock.now().as_micros() / PART
    }

    fn lease_now(
        &self,
        holder: &str,
        turn: LeaseTurn,
        questions: &[SharedLeaseQuestion],
    ) -> Vec<SharedLease> {
        let (part, mut counts) = (self.part(), self.lock());
        let (LeaseTurn::First(number) | LeaseTurn::Again(number)) = turn;
        match counts.turns.get(holder) {
            Some((last, answers)) if *last == number => return answers.clone(),
            Some((last, _)) if *last > number => return Vec::new(),
            None if turn == LeaseTurn::Again(number) => return Vec::new(),
            _ => {}
        }
        let ends = (part + 1) * PART - self.clock.now().as_micros();
        let mut answers = Vec::new();
        for question in questions {
            if let Some(unused) = question.unused {
                counts.give_back(&question.limit, unused);
            }
            let left = count(&question.limit) - counts.used(&question.limit, part);
            let granted = question.wanted.min(left);
            counts.take(&question.limit, part, granted);
            answers.push(SharedLease {
                granted,
                good_for: Duration::from_micros(u64::try_from(ends).expect("a time")),
                from: LeasedFrom { period: part, begun: Timestamp::from_micros(0) },
                remaining: left - granted,
                resets_after: Duration::from_millis(100),
            });
        }
        counts.turns.insert(holder.to_owned(), (number, answers.clone()));
        answers
    }
}

impl SharedLimits for Counter {
    async fn decide(&self, question: &SharedQuestion) -> Result<SharedDecision, LookupError> {
        self.random.wait(20).await;
        let (at, part) = (self.clock.now(), self.part());
        let verdict = {
            let mut counts = self.lock();
            let limits: Vec<_> =
                question.limited.limits().iter().map(|applied| &applied.limit).collect();
            if limits.iter().all(|limit| counts.used(limit, part) < count(limit)) {
                limits.iter().for_each(|limit| counts.take(limit, part, 1));
                SharedVerdict::Within
            } else {
                SharedVerdict::Exceeded(Some(Duration::from_millis(100)))
            }
        };
        self.random.wait(20).await;
        Ok(SharedDecision { at, verdict, states: Vec::new() })
    }

    async fn look(&self, question: &SharedQuestion) -> Result<SharedDecision, LookupError> {
        let (at, part, counts) = (self.clock.now(), self.part(), self.lock());
        let state = |(at, applied): (usize, &AppliedLimit)| {
            let used = counts.used(&applied.limit, part);
            let remaining = count(&applied.limit) - used;
            LimitState { at, used, remaining, resets_after: Duration::ZERO, exceeded: false }
        };
        let states = question.limited.limits().iter().enumerate().map(state).collect();
        Ok(SharedDecision { at, verdict: SharedVerdict::Within, states })
    }

    async fn lease(
        &self,
        holder: &str,
        turn: LeaseTurn,
        questions: &[SharedLeaseQuestion],
    ) -> Result<Vec<SharedLease>, LookupError> {
        self.random.wait(30).await;
        match self.random.below(10) {
            // Done, or not, and nobody hears of it; or done when nobody listens any more.
            0 => drop(self.lease_now(holder, turn, questions)),
            1 => {}
            2 => {
                let (counter, holder) = (self.clone(), holder.to_owned());
                let questions = questions.to_vec();
                tokio::spawn(async move {
                    counter.random.wait(3_000).await;
                    counter.lease_now(&holder, turn, &questions);
                });
            }
            _ => {
                let answers = self.lease_now(holder, turn, questions);
                self.random.wait(30).await;
                return Ok(answers);
            }
        }
        sleep(Duration::from_millis(50)).await;
        Err(LookupError::unavailable("no answer"))
    }

    async fn keep(&self, _: &[SharedPlace], _: Duration) -> Result<(), LookupError> {
        Ok(())
    }

    async fn give_back(&self, _: &[SharedPlace]) -> Result<(), LookupError> {
        Ok(())
    }

    async fn reset(&self, _: &LimitedSubject) -> Result<(), LookupError> {
        Ok(())
    }

    async fn beat(&self, _: &str, _: Duration) -> Result<u64, LookupError> {
        Ok(INSTANCES)
    }
}

/// Calls as fast as it may for so long, with pauses now and then, and says between which times
/// calls passed, and how many of them were decided at once.
async fn call(
    limiter: FleetLimiter<Counter>,
    limited: Limited,
    counter: Counter,
) -> (Vec<Passed>, usize) {
    let (clock, random) = (counter.clock, &counter.random);
    let now = || i64::try_from(clock.uptime().as_micros()).expect("a time");
    let (mut log, mut at_once) = (Vec::new(), 0);
    while now() < 90_000_000 {
        match random.below(200) {
            0 => random.wait(9_000).await,
            _ => random.wait(1_000).await,
        }
        let from = now();
        let call = LimitedCall { limited: &limited, cost: 1, report: true };
        let decision = match limiter.try_acquire(&call) {
            TryAcquire::Decided(decision) => {
                at_once += 1;
                decision
            }
            _ => limiter.acquire(call.to_owned()).await.expect("an answer"),
        };
        if let LimitDecision::Within(_) = decision {
            log.push(Passed::between(from, now()));
        }
    }
    (log, at_once)
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_leases_exceeds_no_limit_in_any_window_and_loses_nothing() {
    for seed in 1..=8 {
        let counter = Counter {
            clock: Simulated::start(),
            random: Arc::new(Random(Mutex::new(seed))),
            counts: Arc::default(),
        };
        // The second limit is rarely the one that refuses.
        let limits = [("tight", 300), ("wide", 600)]
            .map(|(name, count)| Limit::new(name, count, LimitWindow::Rolling(WINDOW)));
        let limited = Limited::alone(LimitedSubject::Other("any".into()), limits);
        let (mut calling, mut leaving) = (Vec::new(), Vec::new());
        for _ in 0..INSTANCES {
            let limiter = FleetLimiter::new(counter.clone()).when_away(WhenAway::Closed);
            let limiter = limiter.with_instances(INSTANCES).change(|inner| {
                inner.leases = Some(Leases::with_clock(Arc::new(counter.clock)));
            });
            leaving.push((limiter.start(), limiter.clone()));
            for _ in 0..3 {
                let calls = call(limiter.clone(), limited.clone(), counter.clone());
                calling.push(tokio::spawn(calls));
            }
        }
        let (mut log, mut at_once) = (Vec::new(), 0);
        for called in calling {
            let (passed, decided) = called.await.expect("no panic");
            log.extend(passed);
            at_once += decided;
        }
        // Whatever is still on its way comes to rest.
        sleep(Duration::from_secs(20)).await;
        for (background, _) in leaving {
            background.shutdown().await;
        }
        let window = i64::try_from(WINDOW.as_micros()).expect("a time");
        let most = Passed::most_in_any(&log, window);
        assert!((270..=300).contains(&most), "seed {seed}: {most}");
        assert!(at_once > log.len() / 8, "seed {seed}: {at_once} of {}", log.len());
        let counts = counter.lock();
        assert!(!counts.wrong, "seed {seed}");
        let net = counts.net.clone();
        assert_eq!(net.len(), 2);
        for (limit, counted) in net {
            assert_eq!(counted, log.len() as u64, "seed {seed}, {limit}: nothing is lost");
        }
    }
}
