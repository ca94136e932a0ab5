//! Limits that instances count together.

pub(crate) mod call;
pub(crate) mod lease;
mod name;
#[cfg(test)]
mod simulated;

use std::collections::HashMap;
use std::time::Duration;

use keyauth_core::{
    Clock, LeaseTurn, LimitedSubject, LookupError, SharedDecision, SharedLease,
    SharedLeaseQuestion, SharedLimits, SharedPlace, SharedQuestion, SharedVerdict, SystemClock,
    Timestamp,
};

use crate::link::Answer;
use crate::redis::Redis;
use crate::script::Script;
use call::{Call, Rows, micros};
use name::{name, name_of_places};

pub(crate) const DECIDE: Script = Script {
    text: concat!(include_str!("../scripts/counts.lua"), include_str!("../scripts/limit.lua")),
    sha1: "bcaa1da6e372f7663dfa2c34d71a12b0ce9b1975",
};
pub(crate) const LEASE: Script = Script {
    text: concat!(include_str!("../scripts/counts.lua"), include_str!("../scripts/lease.lua")),
    sha1: "5fe91e45d45c1af7374c7f660a93a293d65c8b59",
};
pub(crate) const BEAT: Script = Script {
    text: include_str!("../scripts/beat.lua"),
    sha1: "76b13ca2b4704874d113469f4be29585e691eb8e",
};
pub(crate) const PLACES: Script = Script {
    text: include_str!("../scripts/places.lua"),
    sha1: "5665c58665e190a4a54f5c76160cc81ead06c3da",
};
pub(crate) const RESET: Script = Script {
    text: include_str!("../scripts/reset.lua"),
    sha1: "149f42095027ff63d6b0c12caf3b7bfa965f3c94",
};
/// By how many clocks a question is asked: ours, and then that of Redis.
const CLOCKS: usize = 2;
/// How many places are kept or given back in one step.
const PLACES_AT_ONCE: usize = 500;

/// Counts limits in Redis, for [`FleetLimiter`][fleet]: exact over all instances, by Redis's own
/// clock.
///
/// What a tenant's keys, owners and groups have used stands by names that begin with
/// `<prefix>:limits:{<tenant>}`, on one server of a cluster, so that one script decides over all
/// limits of a request. Counts end by themselves when they are no longer needed. Evict none of
/// them: a policy like `volatile-ttl` or `allkeys-lru` would forget what was used.
///
/// Where a rolling limit's part of a window is no whole number of microseconds it is rounded up;
/// the interval of a smooth limit too, which is at most a million calls a second then. Counts are
/// exact to 2^53, which larger ones are taken for.
///
/// [fleet]: https://docs.rs/keyauth-ratelimit/latest/keyauth_ratelimit/struct.FleetLimiter.html
#[derive(Clone, Debug)]
pub struct RedisLimits {
    redis: Redis,
    decide: Script,
    lease: Script,
}

impl RedisLimits {
    /// Counts there.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self { redis: redis.clone(), decide: DECIDE, lease: LEASE }
    }

    async fn ask(
        &self,
        taking: bool,
        question: &SharedQuestion,
    ) -> Result<SharedDecision, LookupError> {
        // Wrong by little, it is within the day before and the one after.
        let mut now = SystemClock::new().now();
        for _ in 0..CLOCKS {
            match self.ask_at(taking, question, now).await? {
                Ok(decision) => return Ok(decision),
                // Wrong by more: Redis has told what time it is.
                Err(at) => now = at,
            }
        }
        Err(clock_moves())
    }

    /// Asks with the days and months around a time. What time it is, where it is none of these.
    async fn ask_at(
        &self,
        taking: bool,
        question: &SharedQuestion,
        now: Timestamp,
    ) -> Result<Result<SharedDecision, Timestamp>, LookupError> {
        let Some(call) = Call::new(self.redis.prefix(), taking, question, now) else {
            let states = Vec::new();
            let verdict = SharedVerdict::Within;
            return Ok(Ok(SharedDecision { at: now, verdict, states }));
        };
        let answer = self.run(self.decide, &call.rows).await?;
        call::read(&answer, &call.asked).ok_or_else(nonsense)
    }

    /// Runs one of the scripts that count.
    async fn run(&self, script: Script, rows: &Rows) -> Result<String, LookupError> {
        let keys: Vec<_> = rows.keys.iter().map(String::as_bytes).collect();
        let arguments: Vec<_> = rows.arguments.iter().map(String::as_bytes).collect();
        match self.redis.eval(script, &keys, &arguments).await? {
            Answer::Bytes(answer) => String::from_utf8(answer).map_err(|_| nonsense()),
            _ => Err(nonsense()),
        }
    }

    /// Keeps places for so long, or gives them back, as many in one step as are on one server.
    /// What goes wrong with some of them keeps the others from nothing.
    async fn places(&self, places: &[SharedPlace], lease: Duration) -> Result<(), LookupError> {
        let mut by_tag: HashMap<String, Vec<(String, String)>> = HashMap::new();
        for place in places {
            let name = name_of_places(self.redis.prefix(), place);
            let tag = name.split('}').next().unwrap_or_default().to_owned();
            by_tag.entry(tag).or_default().push((name, format!("{:032x}", place.place)));
        }
        let (lease, mut outcome) = (micros(lease), Ok(()));
        for batch in by_tag.values().flat_map(|places| places.chunks(PLACES_AT_ONCE)) {
            let keys: Vec<_> = batch.iter().map(|(name, _)| name.as_bytes()).collect();
            let members = batch.iter().map(|(_, member)| member.as_bytes());
            let arguments: Vec<_> = std::iter::once(lease.as_bytes()).chain(members).collect();
            let failed = match self.redis.eval(PLACES, &keys, &arguments).await {
                Ok(answer) if number(&answer) == Some(0) => continue,
                Ok(_) => LookupError::unavailable("Redis has refused some of the places"),
                Err(error) => error,
            };
            outcome = outcome.and(Err(failed));
        }
        outcome
    }
}

impl SharedLimits for RedisLimits {
    async fn decide(&self, question: &SharedQuestion) -> Result<SharedDecision, LookupError> {
        self.ask(true, question).await
    }

    async fn look(&self, question: &SharedQuestion) -> Result<SharedDecision, LookupError> {
        self.ask(false, question).await
    }

    async fn keep(&self, places: &[SharedPlace], lease: Duration) -> Result<(), LookupError> {
        self.places(places, lease).await
    }

    async fn give_back(&self, places: &[SharedPlace]) -> Result<(), LookupError> {
        self.places(places, Duration::ZERO).await
    }

    async fn lease(
        &self,
        holder: &str,
        turn: LeaseTurn,
        questions: &[SharedLeaseQuestion],
    ) -> Result<Vec<SharedLease>, LookupError> {
        let mut now = SystemClock::new().now();
        for _ in 0..CLOCKS {
            let rows = lease::rows(self.redis.prefix(), holder, turn, questions, now);
            let Some(rows) = rows else { return Ok(Vec::new()) };
            let answer = self.run(self.lease, &rows).await?;
            match lease::read(&answer, questions.len()).ok_or_else(nonsense)? {
                Ok(leases) => return Ok(leases),
                Err(at) => now = at,
            }
        }
        Err(clock_moves())
    }

    async fn reset(&self, subject: &LimitedSubject) -> Result<(), LookupError> {
        let name = name(self.redis.prefix(), subject);
        self.redis.eval(RESET, &[name.as_bytes()], &[]).await.map(drop)
    }

    async fn beat(&self, instance: &str, lasts: Duration) -> Result<u64, LookupError> {
        let name = format!("{}:instances", self.redis.prefix());
        let lasts = micros(lasts);
        let arguments = [instance.as_bytes(), lasts.as_bytes()];
        let answer = self.redis.eval(BEAT, &[name.as_bytes()], &arguments).await?;
        number(&answer).ok_or_else(nonsense)
    }
}

fn number(answer: &Answer) -> Option<u64> {
    let Answer::Bytes(number) = answer else { return None };
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn clock_moves() -> LookupError {
    LookupError::unavailable("the clock of Redis moves faster than it can be followed")
}

fn nonsense() -> LookupError {
    LookupError::unavailable("Redis has given an answer that is none")
}
