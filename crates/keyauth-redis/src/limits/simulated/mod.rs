//! The script in simulated time: schedules made to exceed a limit, and clocks that jump. What was
//! let through is looked at in every window there is, by the times that the script gives.

mod leases;

use std::time::Duration;

use deadpool_redis::Runtime;
use keyauth_core::{
    Limit, Limited, Seed, SharedDecision, SharedLimits, SharedPlace, SharedQuestion, SharedVerdict,
    TimeZone,
};
use keyauth_testkit::conformance::limiter::limited_key;
use keyauth_testkit::{Passed, RedisServers};

use super::{DECIDE, LEASE, RedisLimits};
use crate::redis::Redis;
use crate::script::Script;

/// A Redis whose scripts read the time from a list.
struct Simulation {
    servers: RedisServers,
    limits: RedisLimits,
    now: i64,
}

/// What was let through, in microseconds.
type Log = Vec<Passed>;

const SECOND: i64 = 1_000_000;

impl Simulation {
    async fn start() -> Self {
        let servers = RedisServers::start().await;
        let pool = deadpool_redis::Config::from_url(servers.urls().remove(0));
        let redis = Redis::from(pool.create_pool(Some(Runtime::Tokio1)).expect("a pool"));
        let redis = redis.with_timeout(Duration::from_secs(1));
        let simulated = |script: Script| {
            let text = script.text.replace("'TIME'", "'LRANGE', 'clock', 0, 1");
            assert_ne!(text, script.text);
            Script { text: text.leak(), sha1: "none" }
        };
        let (decide, lease) = (simulated(DECIDE), simulated(LEASE));
        let limits = RedisLimits { redis, decide, lease };
        let mut simulation = Self { servers, limits, now: 0 };
        simulation.set(1_780_488_000 * SECOND);
        simulation
    }

    fn set(&mut self, now: i64) {
        self.now = now;
        let set = "redis.call('DEL', 'clock') redis.call('RPUSH', 'clock', ARGV[1], ARGV[2])";
        let (seconds, micros) = ((now / SECOND).to_string(), (now % SECOND).to_string());
        let _ = self.servers.ask(0, &["EVAL", set, "0", &seconds, &micros]);
    }

    /// Moves the clock without asking a shell, of which there is one for each jump.
    async fn wait(&mut self, micros: i64) {
        self.now += micros;
        let set = Script {
            text: "redis.call('DEL', KEYS[1]) redis.call('RPUSH', KEYS[1], ARGV[1], ARGV[2]) \
                   return 'done'",
            sha1: "none",
        };
        let (seconds, rest) = ((self.now / SECOND).to_string(), (self.now % SECOND).to_string());
        let arguments = [seconds.as_bytes(), rest.as_bytes()];
        self.limits.redis.eval(set, &[b"clock"], &arguments).await.expect("a clock");
    }

    async fn ask(&self, limited: &Limited, cost: u64, seed: Option<u64>) -> SharedDecision {
        let seed = seed.map(|used| Seed { used, since: None });
        let seeds = vec![seed; limited.limits().len()];
        let (limited, lease) = (limited.clone(), Duration::from_secs(30));
        let question = SharedQuestion { limited, cost, place: 1, lease, seeds };
        self.limits.decide(&question).await.expect("an answer")
    }

    async fn passes(&self, limited: &Limited, cost: u64) -> bool {
        let decision = self.ask(limited, cost, Some(0)).await;
        assert_eq!(decision.at.as_micros(), self.now);
        matches!(decision.verdict, SharedVerdict::Within)
    }

    async fn passing(&self, limited: &Limited, calls: usize) -> usize {
        let mut passing = 0;
        for _ in 0..calls {
            passing += usize::from(self.passes(limited, 1).await);
        }
        passing
    }

    /// Sends calls at random, many of them at the edges of parts, and logs those that pass. Some
    /// that are refused are tried again when they were told to, and a moment before.
    async fn run(&mut self, limit: &Limit, most: u64, random: &mut Random, calls: usize) -> Log {
        let limited = limited_key([limit.clone()]);
        let mut log = Log::new();
        for _ in 0..calls {
            let pause = match random.below(4) {
                0 => 0,
                1 => random.below(SECOND / 10),
                2 => SECOND / 20 * (1 + random.below(24)) + random.below(3) - 1,
                _ => random.below(2 * SECOND),
            };
            self.wait(pause).await;
            let cost = u64::try_from(1 + random.below(3)).expect("a cost").min(most);
            let decision = self.ask(&limited, cost, Some(0)).await;
            match decision.verdict {
                SharedVerdict::Within => log.push(Passed::at(decision.at.as_micros(), cost)),
                SharedVerdict::Exceeded(Some(wait)) if pause % 3 == 0 => {
                    let wait = i64::try_from(wait.as_micros()).expect("a time");
                    self.wait(wait - 1).await;
                    assert!(!self.passes(&limited, cost).await, "{wait} us are too long");
                    self.wait(1).await;
                    assert!(self.passes(&limited, cost).await, "{wait} us are too short");
                    log.push(Passed::at(self.now, cost));
                }
                SharedVerdict::Exceeded(_) => {}
                other => panic!("{other:?}"),
            }
        }
        log
    }
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        i64::try_from(self.0 >> 33).expect("31 bits") % end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_schedule_exceeds_a_limit_in_any_window() {
    let mut simulation = Simulation::start().await;
    let mut random = Random(7);
    for limit in [1, 3, 10] {
        let rolling = Limit::per_second(limit).of_cost();
        let log = simulation.run(&rolling, limit, &mut random, 400).await;
        assert!(Passed::most_in_any(&log, SECOND) <= limit);
        let burst = limit + 1;
        let smooth = Limit::smooth(limit, Duration::from_secs(1), burst).of_cost();
        let log = simulation.run(&smooth, burst, &mut random, 400).await;
        for length in [1, SECOND / 7, SECOND, 5 * SECOND] {
            let part = u64::try_from(length).expect("a time") * limit / 1_000_000;
            assert!(Passed::most_in_any(&log, length) <= burst + part, "in {length} us");
        }
    }
    // So quick that what is left of a division counts.
    let quick = limited_key([Limit::smooth(3, Duration::from_micros(10), 3)]);
    let mut log = Log::new();
    for _ in 0..300 {
        simulation.wait(1).await;
        if simulation.passes(&quick, 1).await {
            log.push(Passed::at(simulation.now, 1));
        }
    }
    assert!(Passed::most_in_any(&log, 100) <= 3 + 30);
    // The bounds are reached.
    let (rolling, smooth) = (limited_key([Limit::per_second(7)]), Duration::from_secs(1));
    let smooth = limited_key([Limit::smooth(10, smooth, 5)]);
    let mut logs = [Log::new(), Log::new()];
    for _ in 0..300 {
        simulation.wait(SECOND / 100 + 1).await;
        for (limited, log) in [&rolling, &smooth].into_iter().zip(&mut logs) {
            if simulation.passes(limited, 1).await {
                log.push(Passed::at(simulation.now, 1));
            }
        }
    }
    let [rolling, smooth] = logs;
    assert_eq!(Passed::most_in_any(&rolling, SECOND), 7);
    assert_eq!(Passed::most_in_any(&smooth, SECOND + SECOND / 50), 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_schedule_exceeds_a_day_or_the_places_at_once() {
    let mut simulation = Simulation::start().await;
    let mut random = Random(23);
    let (day, most) = (86_400 * SECOND, 5);
    let limited = limited_key([Limit::per_day(most).of_cost()]);
    let mut log = Log::new();
    for _ in 0..400 {
        let pause = match random.below(4) {
            0 | 1 => random.below(day / 20),
            // Midnight, and a moment before and after.
            2 => day - simulation.now % day + random.below(3) - 1,
            _ => 0,
        };
        simulation.wait(pause).await;
        let cost = u64::try_from(1 + random.below(3)).expect("a cost");
        if simulation.passes(&limited, cost).await {
            log.push(Passed::at(simulation.now, cost));
        }
    }
    assert_eq!(Passed::most_in_each(&log, day, 0), most);
    // Places, some given back, some kept, and some of processes that are gone.
    let limited = limited_key([Limit::at_once(most)]);
    let lease = Duration::from_secs(30);
    let mut held: Vec<(u128, i64)> = Vec::new();
    let mut fullest = 0;
    for place in 0..600 {
        simulation.wait(random.below(2 * SECOND)).await;
        held.retain(|(_, ends)| simulation.now < *ends);
        let ends = simulation.now + 30 * SECOND;
        let some = usize::try_from(random.below(8)).expect("a place");
        match (random.below(4), held.get(some).copied()) {
            (0, Some((place, _))) => {
                let places = SharedPlace::all_of(&limited, place);
                simulation.limits.give_back(&places).await.expect("given back");
                held.swap_remove(some);
            }
            _ => {
                let seeds = vec![None];
                let question =
                    SharedQuestion { limited: limited.clone(), cost: 1, place, lease, seeds };
                let decision = simulation.limits.decide(&question).await.expect("an answer");
                match decision.verdict {
                    SharedVerdict::Within => held.push((place, ends)),
                    _ => assert_eq!(held.len(), 5, "too early"),
                }
            }
        }
        fullest = fullest.max(held.len());
        assert!(held.len() <= 5);
    }
    assert_eq!(fullest, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_lets_through_one_further_limit_at_most() {
    // F8
    let mut simulation = Simulation::start().await;
    let start = simulation.now;
    for limit in [
        Limit::per_minute(5),
        Limit::smooth(1, Duration::from_secs(60), 5),
        Limit::per_day(5),
        Limit::per_month(5),
    ] {
        let limited = limited_key([limit.clone()]);
        simulation.set(start);
        assert_eq!(simulation.passing(&limited, 9).await, 5, "{limit:?}");
        // Back by less than a window, and by more: none further.
        for back in [30, 59, 61, 3_600, 86_400 * 40] {
            simulation.set(start - back * SECOND);
            assert_eq!(simulation.passing(&limited, 2).await, 0, "{limit:?}, {back} s back");
            simulation.set(start - back * SECOND + SECOND / 2);
            assert_eq!(simulation.passing(&limited, 2).await, 0, "{limit:?}, {back} s back");
        }
    }
    // Three days forward are days that have passed, and back again such that have not.
    for (limit, window) in [
        (Limit::per_minute(5), 70),
        (Limit::smooth(1, Duration::from_secs(60), 5), 310),
        (Limit::per_day(5), 86_400),
    ] {
        let limited = limited_key([limit.clone()]);
        simulation.set(start);
        assert_eq!(simulation.passing(&limited, 9).await, 5);
        simulation.set(start + 3 * 86_400 * SECOND);
        assert_eq!(simulation.passing(&limited, 9).await, 5, "{limit:?}: one further limit");
        simulation.set(start + SECOND);
        assert_eq!(simulation.passing(&limited, 9).await, 0, "{limit:?}: what counted then counts");
        simulation.set(start + window * SECOND);
        assert_eq!(simulation.passing(&limited, 9).await, 5, "{limit:?}: for one window");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_and_months_are_the_zones_and_open_once() {
    // L6, F7: the time of the caller is years away from that of Redis, which counts.
    let mut simulation = Simulation::start().await;
    let berlin = TimeZone::named("Europe/Berlin").expect("a zone");
    let limited = limited_key([Limit::per_day(2).in_zone(berlin)]);
    // 2026-03-29 in Berlin, with 23 hours.
    let midnight = 1_774_738_800 * SECOND;
    simulation.set(midnight);
    assert_eq!(simulation.passing(&limited, 5).await, 2);
    let refused = simulation.ask(&limited, 1, None).await;
    assert_eq!(refused.verdict, SharedVerdict::Exceeded(Some(Duration::from_hours(23))));
    simulation.set(midnight + 23 * 3_600 * SECOND - 1);
    assert_eq!(simulation.passing(&limited, 1).await, 0);
    simulation.set(midnight + 23 * 3_600 * SECOND);
    assert_eq!(simulation.passing(&limited, 5).await, 2);
    simulation.set(midnight + 22 * 3_600 * SECOND);
    assert_eq!(simulation.passing(&limited, 5).await, 0, "the day before does not open again");
    simulation.set(midnight + 23 * 3_600 * SECOND + 1);
    assert_eq!(simulation.passing(&limited, 5).await, 0, "nor does this one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_of_a_day_is_asked_for() {
    // L12
    let mut simulation = Simulation::start().await;
    let limits = [Limit::per_day(5), Limit::per_minute(100), Limit::per_month(9)];
    let limited = limited_key(limits);
    let unseeded = SharedVerdict::Unseeded { limits: vec![0, 2] };
    assert_eq!(simulation.ask(&limited, 1, None).await.verdict, unseeded);
    assert_eq!(simulation.passing(&limited, 1).await, 1);
    assert_eq!(simulation.servers.ask(0, &["FLUSHALL"]), "OK");
    simulation.set(simulation.now);
    assert_eq!(simulation.ask(&limited, 1, None).await.verdict, unseeded, "nothing was counted");
    let seeded = simulation.ask(&limited, 1, Some(4)).await;
    assert_eq!(seeded.states.iter().map(|state| state.used).collect::<Vec<_>>(), [5, 1, 5]);
    assert_eq!(simulation.passing(&limited, 3).await, 0, "the seed is not looked at again");
    // The next day begins with nothing, and nobody is asked; the month goes on.
    simulation.wait(86_400 * SECOND).await;
    let next = simulation.ask(&limited, 1, None).await;
    assert_eq!(next.states.iter().map(|state| state.used).collect::<Vec<_>>(), [1, 1, 6]);
}
