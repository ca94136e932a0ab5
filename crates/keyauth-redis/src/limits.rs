//! Limits that instances count together.

use std::fmt::Write;
use std::time::Duration;

use keyauth_core::{
    AppliedLimit, Clock, LimitCount, LimitState, LimitUnit, LimitWindow, Limited, LimitedSubject,
    LookupError, Period, SharedDecision, SharedLimits, SharedPlace, SharedQuestion, SharedVerdict,
    SystemClock, Timestamp,
};

use crate::link::{Answer, Command};
use crate::redis::Redis;
use crate::script::Script;

/// Into how many parts a rolling window is cut; the script knows the same number.
const PARTS: u64 = 20;
/// The largest count that Lua's numbers are exact to.
const MOST: u64 = 1 << 53;
const DECIDE: Script = Script {
    text: include_str!("scripts/limit.lua"),
    sha1: "9217bc21dc1ec22bacd1f3d5b5c97e0c34890c7b",
};
const BEAT: Script = Script {
    text: include_str!("scripts/beat.lua"),
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
}

impl RedisLimits {
    /// Counts there.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self { redis: redis.clone() }
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
        let answer = self.redis.eval(DECIDE, &keys, &arguments).await?;
        let nonsense = || LookupError::unavailable("Redis has given an answer that is none");
        let Answer::Bytes(answer) = answer else { return Err(nonsense()) };
        call.read(&answer).ok_or_else(nonsense)
    }
}

/// What the script is asked.
struct Call {
    keys: Vec<String>,
    arguments: Vec<String>,
    /// Which limits, by their places among all.
    asked: Vec<usize>,
    places: Vec<SharedPlace>,
}

impl Call {
    /// `None` where there is nothing to ask.
    fn new(prefix: &str, taking: bool, question: &SharedQuestion, now: Timestamp) -> Option<Self> {
        let how = if taking { "take" } else { "look" };
        let arguments =
            vec![how.to_owned(), format!("{:032x}", question.place), micros(question.lease)];
        let mut call = Self { keys: vec![], arguments, asked: vec![], places: vec![] };
        for (at, applied) in question.limited.limits().iter().enumerate() {
            let Some(subject) = question.limited.subject(question.limited.counted(applied)) else {
                continue;
            };
            let seed = question.seeds.get(at).copied().flatten();
            call.push(prefix, &subject, applied, question, seed, now);
            call.asked.push(at);
        }
        (!call.asked.is_empty()).then_some(call)
    }

    fn push(
        &mut self,
        prefix: &str,
        subject: &LimitedSubject,
        applied: &AppliedLimit,
        question: &SharedQuestion,
        seed: Option<u64>,
        now: Timestamp,
    ) {
        let limit = &applied.limit;
        let count = match limit.count {
            LimitCount::AtMost(count) => count.min(MOST),
            LimitCount::Unlimited => MOST,
            // Of a later version: nothing.
            _ => 0,
        };
        let (cost, unit) = match limit.unit {
            LimitUnit::Cost => (question.cost, "cost"),
            _ => (1, "requests"),
        };
        let zone = &limit.zone;
        let mut numbers = [0; 4];
        let (kind, shape) = match limit.window {
            LimitWindow::Rolling(window) => {
                let window = whole_micros(window);
                numbers[0] = i64::try_from(window.div_ceil(PARTS).max(1)).unwrap_or(i64::MAX);
                ("rolling", format!("rolling {window}"))
            }
            LimitWindow::Smooth { period, burst } => {
                let burst = if count == 0 { 0 } else { burst.min(MOST) };
                let interval = whole_micros(period).div_ceil(count.max(1)).max(1);
                numbers = [interval, burst, 0, 0].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
                ("smooth", "smooth".to_owned())
            }
            LimitWindow::Day => {
                numbers = around(now, |at| zone.day(at));
                ("calendar", format!("day {zone}"))
            }
            LimitWindow::Month => {
                numbers = around(now, |at| zone.month(at));
                ("calendar", format!("month {zone}"))
            }
            _ => ("at_once", String::new()),
        };
        let key = if kind == "at_once" {
            let place = SharedPlace {
                subject: subject.clone(),
                limit: limit.name.clone(),
                place: question.place,
            };
            let name = name_of_places(prefix, &place);
            self.places.push(place);
            name
        } else {
            name(prefix, subject)
        };
        let known = self.keys.iter().position(|known| *known == key);
        let index = known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        self.arguments.extend([kind.to_owned(), (index + 1).to_string()]);
        // A name has no spaces, so that no other one and shape add up to the same.
        self.arguments.push(format!("{} {unit} {shape}", limit.name));
        self.arguments.extend([count.to_string(), cost.min(MOST).to_string()]);
        self.arguments.extend(numbers.map(|number| number.to_string()));
        self.arguments.push(seed.map_or_else(String::new, |seed| seed.min(MOST).to_string()));
    }

    /// What the script has answered, or what time it is where the caller's clock is wrong.
    fn read(self, answer: &[u8]) -> Option<Result<SharedDecision, Timestamp>> {
        let answer = std::str::from_utf8(answer).ok()?;
        let mut numbers = answer.split(' ').map(str::parse::<i64>);
        let mut next = || numbers.next()?.ok();
        let (at, verdict) = (Timestamp::from_micros(next()?), next()?);
        if verdict == 3 {
            return Some(Err(at));
        }
        let mut states = Vec::with_capacity(self.asked.len());
        let (mut wait, mut ever, mut unseeded) = (0, true, Vec::new());
        for at in &self.asked {
            let (used, remaining, resets) = (next()?, next()?, next()?);
            let (waits, seedless) = (next()?, next()?);
            ever &= waits != -2;
            wait = wait.max(waits);
            if seedless == 1 {
                unseeded.push(*at);
            }
            states.push(LimitState {
                at: *at,
                used: u64::try_from(used).ok()?,
                remaining: u64::try_from(remaining).ok()?,
                resets_after: Duration::from_micros(u64::try_from(resets).ok()?),
                exceeded: waits != -1,
            });
        }
        let verdict = match verdict {
            0 => SharedVerdict::Within { places: self.places },
            1 if ever => {
                SharedVerdict::Exceeded(Some(Duration::from_micros(u64::try_from(wait).ok()?)))
            }
            1 => SharedVerdict::Exceeded(None),
            2 => SharedVerdict::Unseeded { limits: unseeded },
            _ => return None,
        };
        Some(Ok(SharedDecision { at, verdict, states }))
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

/// The edges of the period before, of that of a time, and of the next.
fn around(now: Timestamp, period: impl Fn(Timestamp) -> Period) -> [i64; 4] {
    let this = period(now);
    let before = period(Timestamp::from_micros(this.start.as_micros().saturating_sub(1)));
    let next = period(this.end);
    [before.start, this.start, this.end, next.end].map(Timestamp::as_micros)
}

/// Where somebody's counts are. What ids may hold beside letters, digits and `-._` is escaped, so
/// that no two add up to the same (L11); the tag puts a tenant's on one server of a cluster.
fn name(prefix: &str, subject: &LimitedSubject) -> String {
    let (tag, kind, ids): (_, _, Vec<&str>) = match subject {
        LimitedSubject::Key(tenant, key) => {
            return format!("{prefix}:limits:{{{}}}:key:{key}", escaped(tenant.as_str()));
        }
        LimitedSubject::Member(tenant, group, owner) => {
            (tenant.as_str(), "member", vec![group.as_str(), owner.as_str()])
        }
        LimitedSubject::Owner(tenant, owner) => (tenant.as_str(), "owner", vec![owner.as_str()]),
        LimitedSubject::Group(tenant, group) => (tenant.as_str(), "group", vec![group.as_str()]),
        LimitedSubject::Tenant(tenant) => (tenant.as_str(), "tenant", vec![]),
        LimitedSubject::Other(name) => {
            return format!("{prefix}:limits:{{other:{}}}", escaped(name));
        }
        _ => ("", "unknown", vec![]),
    };
    let mut name = format!("{prefix}:limits:{{{}}}:{kind}", escaped(tag));
    for id in ids {
        name.push(':');
        name.push_str(&escaped(id));
    }
    name
}

fn name_of_places(prefix: &str, place: &SharedPlace) -> String {
    format!("{}:at_once:{}", name(prefix, &place.subject), escaped(&place.limit))
}

fn escaped(id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02x}");
        }
    }
    escaped
}

fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> String {
    whole_micros(duration).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use keyauth_core::{GroupId, KeyId, OwnerId, TenantId};

    use super::*;

    #[test]
    fn no_two_subjects_share_a_name() {
        // L11
        let ids = ["a", "a:b", "b", "{a}", "}", "%3a", ":", "a}:{b", "key:a", "a%3ab"];
        let tenant = |id: &str| TenantId::new(id).expect("a tenant");
        let (owner, group) = (|id: &str| OwnerId::new(id), |id: &str| GroupId::new(id));
        let mut all = vec![LimitedSubject::Key(tenant("a"), KeyId::from_bytes([1; 16]))];
        for first in ids {
            all.push(LimitedSubject::Tenant(tenant(first)));
            all.push(LimitedSubject::Other(first.into()));
            all.push(LimitedSubject::Other(format!("{first}\n").into()));
            for second in ids {
                let (owner, group) = (owner(second).expect("one"), group(second).expect("one"));
                all.push(LimitedSubject::Owner(tenant(first), owner));
                all.push(LimitedSubject::Group(tenant(first), group.clone()));
                for third in ids {
                    let owner = OwnerId::new(third).expect("one");
                    all.push(LimitedSubject::Member(tenant(first), group.clone(), owner));
                }
            }
        }
        let names: HashSet<_> = all.iter().map(|subject| name("p", subject)).collect();
        assert_eq!(names.len(), all.len());
        for name in names {
            assert_eq!(name.matches(['{', '}']).count(), 2, "{name}");
        }
    }
}
