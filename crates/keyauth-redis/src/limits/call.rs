//! One question about a call, and its answer.

use std::time::Duration;

use keyauth_core::{
    Limit, LimitCount, LimitState, LimitUnit, LimitWindow, Period, Seed, SharedDecision,
    SharedPlace, SharedQuestion, SharedVerdict, Timestamp,
};

use super::name::{name, name_of_places};

/// Into how many parts a rolling window is cut; the script knows the same number.
const PARTS: u64 = 20;
/// The largest count that Lua's numbers are exact to.
const MOST: u64 = 1 << 53;

/// What a script is asked: what it counts in, and arguments for each limit.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<String>,
}

impl Rows {
    /// Adds a limit, where it stands by `key`.
    pub(super) fn push(
        &mut self,
        key: String,
        limit: &Limit,
        cost: u64,
        seed: Option<Seed>,
        now: Timestamp,
    ) {
        let count = match limit.count {
            LimitCount::AtMost(count) => count.min(MOST),
            LimitCount::Unlimited => MOST,
            // Of a later version: nothing.
            _ => 0,
        };
        let unit = match limit.unit {
            LimitUnit::Cost => "cost",
            _ => "requests",
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
        let used = seed.map_or_else(String::new, |seed| seed.used.min(MOST).to_string());
        let since = seed.and_then(|seed| seed.since);
        let since = since.map_or_else(String::new, |since| since.as_micros().to_string());
        self.arguments.extend([used, since]);
    }
}

/// A question about a call.
pub(super) struct Call {
    pub(super) rows: Rows,
    /// Which limits, by their places among all.
    pub(super) asked: Vec<usize>,
}

impl Call {
    /// `None` where there is nothing to ask.
    pub(super) fn new(
        prefix: &str,
        taking: bool,
        question: &SharedQuestion,
        now: Timestamp,
    ) -> Option<Self> {
        let how = if taking { "take" } else { "look" };
        let arguments =
            vec![how.to_owned(), format!("{:032x}", question.place), micros(question.lease)];
        let mut call = Self { rows: Rows { keys: vec![], arguments }, asked: vec![] };
        for (at, applied) in question.limited.limits().iter().enumerate() {
            let Some(subject) = question.limited.subject(question.limited.counted(applied)) else {
                continue;
            };
            let limit = &applied.limit;
            let key = if limit.window == LimitWindow::AtOnce {
                let (limit, place) = (limit.name.clone(), question.place);
                name_of_places(prefix, &SharedPlace { subject, limit, place })
            } else {
                name(prefix, &subject)
            };
            let cost = if limit.unit == LimitUnit::Cost { question.cost } else { 1 };
            let seed = question.seeds.get(at).copied().flatten();
            call.rows.push(key, limit, cost, seed, now);
            call.asked.push(at);
        }
        (!call.asked.is_empty()).then_some(call)
    }
}

/// What the script has answered about the limits in these places among all, or what time it is where
/// the caller's clock is wrong; `None` where it was no answer.
pub(crate) fn read(answer: &str, asked: &[usize]) -> Option<Result<SharedDecision, Timestamp>> {
    let mut numbers = answer.split(' ').map(str::parse::<i64>);
    let mut next = || numbers.next()?.ok();
    let (at, verdict) = (Timestamp::from_micros(next()?), next()?);
    if verdict == 3 {
        return Some(Err(at));
    }
    let mut states = Vec::with_capacity(asked.len());
    let (mut wait, mut ever, mut unseeded) = (0, true, Vec::new());
    for at in asked {
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
        0 => SharedVerdict::Within,
        1 if ever => {
            SharedVerdict::Exceeded(Some(Duration::from_micros(u64::try_from(wait).ok()?)))
        }
        1 => SharedVerdict::Exceeded(None),
        2 => SharedVerdict::Unseeded { limits: unseeded },
        _ => return None,
    };
    Some(Ok(SharedDecision { at, verdict, states }))
}

/// The edges of the period before, of that of a time, and of the next.
fn around(now: Timestamp, period: impl Fn(Timestamp) -> Period) -> [i64; 4] {
    let this = period(now);
    let before = period(Timestamp::from_micros(this.start.as_micros().saturating_sub(1)));
    let next = period(this.end);
    [before.start, this.start, this.end, next.end].map(Timestamp::as_micros)
}

fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

pub(super) fn micros(duration: Duration) -> String {
    whole_micros(duration).to_string()
}
