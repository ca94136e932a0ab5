//! Limits that instances count together.

mod call;
mod name;
#[cfg(test)]
mod simulated;

use std::time::Duration;

use keyauth_core::{
    Clock, Limited, LimitedSubject, LookupError, SharedDecision, SharedLimits, SharedPlace,
    SharedQuestion, SharedVerdict, SystemClock, Timestamp,
};

use crate::link::{Answer, Command};
use crate::redis::Redis;
use crate::script::Script;
use call::{Call, micros};
use name::{name, name_of_places};

pub(crate) const DECIDE: Script = Script {
    text: include_str!("../scripts/limit.lua"),
    sha1: "dc0503e7717c1613bf0b7e0abb0d966df810d0ea",
};
pub(crate) const BEAT: Script = Script {
    text: include_str!("../scripts/beat.lua"),
    sha1: "182b45a8c9d258d70129a64010bf47b440b7f359",
};

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
}

impl RedisLimits {
    /// Counts there.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self { redis: redis.clone(), decide: DECIDE }
    }

    async fn ask(
        &self,
        taking: bool,
        question: &SharedQuestion,
    ) -> Result<SharedDecision, LookupError> {
        // Wrong by little, it is within the day before and the one after.
        let now = SystemClock::new().now();
        match self.ask_at(taking, question, now).await? {
            Ok(decision) => Ok(decision),
            // Wrong by more: Redis has told what time it is.
            Err(now) => self.ask_at(taking, question, now).await?.map_err(|_| {
                LookupError::unavailable("the clock of Redis moves faster than it can be followed")
            }),
        }
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
            let verdict = SharedVerdict::Within { places: Vec::new() };
            return Ok(Ok(SharedDecision { at: now, verdict, states }));
        };
        let keys: Vec<_> = call.keys.iter().map(String::as_bytes).collect();
        let arguments: Vec<_> = call.arguments.iter().map(String::as_bytes).collect();
        let answer = self.redis.eval(self.decide, &keys, &arguments).await?;
        let nonsense = || LookupError::unavailable("Redis has given an answer that is none");
        let Answer::Bytes(answer) = answer else { return Err(nonsense()) };
        call.read(&answer).ok_or_else(nonsense)
    }
}

impl SharedLimits for RedisLimits {
    async fn decide(&self, question: &SharedQuestion) -> Result<SharedDecision, LookupError> {
        self.ask(true, question).await
    }

    async fn look(&self, limited: &Limited) -> Result<SharedDecision, LookupError> {
        let seeds = vec![Some(0); limited.limits().len()];
        let (place, lease) = (0, Duration::ZERO);
        let question = SharedQuestion { limited: limited.clone(), cost: 0, place, lease, seeds };
        self.ask(false, &question).await
    }

    async fn keep(&self, places: &[SharedPlace], lease: Duration) -> Result<(), LookupError> {
        for place in places {
            let name = name_of_places(self.redis.prefix(), place);
            let (member, lease) = (format!("{:032x}", place.place), micros(lease));
            let arguments = [b"keep".as_slice(), member.as_bytes(), lease.as_bytes()];
            self.redis.eval(BEAT, &[name.as_bytes()], &arguments).await?;
        }
        Ok(())
    }

    async fn give_back(&self, places: &[SharedPlace]) -> Result<(), LookupError> {
        for place in places {
            let name = name_of_places(self.redis.prefix(), place);
            let member = format!("{:032x}", place.place);
            let arguments = [name.as_bytes(), member.as_bytes()];
            let remove = Command { name: "ZREM", key: name.as_bytes(), arguments: &arguments };
            self.redis.call(remove).await?;
        }
        Ok(())
    }

    async fn reset(&self, subject: &LimitedSubject) -> Result<(), LookupError> {
        let name = name(self.redis.prefix(), subject);
        let remove = Command { name: "DEL", key: name.as_bytes(), arguments: &[name.as_bytes()] };
        self.redis.call(remove).await.map(drop)
    }

    async fn beat(&self, instance: &str, lasts: Duration) -> Result<u64, LookupError> {
        let name = format!("{}:instances", self.redis.prefix());
        let lasts = micros(lasts);
        let arguments = [b"beat".as_slice(), instance.as_bytes(), lasts.as_bytes()];
        let answer = self.redis.eval(BEAT, &[name.as_bytes()], &arguments).await?;
        let Answer::Bytes(count) = answer else { return Ok(1) };
        let count = std::str::from_utf8(&count).ok().and_then(|count| count.parse().ok());
        Ok(count.unwrap_or(1))
    }
}
