//! Limits.

use std::time::Duration;

use jiff::SignedDuration;
use keyauth_core::{
    AppliedLimit, Counted, Limit, LimitCount, LimitState, LimitSubject, LimitUnit, LimitWindow,
    Problem, TimeZone,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::ApiError;

/// How often something may be used.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Limit, example = json!({"name": "minute", "count": 100, "window": "1m"}))]
pub(crate) struct LimitBody {
    /// Tells the limits of one subject apart; printable, without spaces.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    name: String,
    /// How much; 0 refuses all, `null` is without a bound and takes off a limit of the same name
    /// that is set further out.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    count: Option<u64>,
    /// In which time: a length like `10s`, `1m` or `12h` for any stretch of it, up to 31 days;
    /// `day` or `month` for those of the calendar; `at_once` for what is under way.
    #[schema(
        pattern = "^(day|month|at_once|[1-9][0-9]{0,4}(ms|s|m|h)( [1-9][0-9]{0,2}(ms|s|m)){0,3})$"
    )]
    window: String,
    /// Spreads the count evenly over `window`, which must be a length, and lets so much come at
    /// once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<u64>,
    /// What is counted of each request: that it was made, or what it costs.
    #[serde(default)]
    #[schema(value_type = String, default = "requests", pattern = "^(requests|cost)$")]
    unit: LimitUnit,
    /// Whose use is counted together; that of whatever it is set on otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(key|owner|group|tenant)$")]
    per: Option<LimitSubject>,
    /// Where calendar windows begin at midnight.
    #[serde(default = "utc")]
    #[schema(default = "UTC", example = "Europe/Berlin")]
    zone: String,
}

/// The longest time that a burst may take to come back, so that it can be told: a hundred years.
const MAX_PAUSE: Duration = Duration::from_hours(100 * 366 * 24);

/// How many limits or budgets there are at most.
const MOST: usize = 64;

/// How a limit stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitState)]
pub(crate) struct LimitStateView {
    /// The limit.
    limit: LimitBody,
    /// Whose use it counts.
    #[schema(value_type = String)]
    counts: Counted,
    /// How much has been used.
    used: u64,
    /// How much is left.
    remaining: u64,
    /// When more of it is free again, in milliseconds; 0 where all of it is.
    resets_after_ms: u64,
    /// Whether it is this one that refuses.
    exceeded: bool,
}

pub(super) fn utc() -> String {
    "UTC".into()
}

/// The zone of that name; what is wrong is a problem of `field`.
pub(super) fn zone(name: &str, field: &str) -> Result<TimeZone, Problem> {
    let problem = |_| Problem::new(field, "is no name of a time zone like Europe/Berlin");
    TimeZone::named(name).map_err(problem)
}

impl LimitBody {
    fn read(self, field: &str) -> Result<Limit, Problem> {
        let at = |name: &str| format!("{field}.{name}");
        let window = match (self.window.as_str(), self.burst) {
            ("day", None) => LimitWindow::Day,
            ("month", None) => LimitWindow::Month,
            ("at_once", None) => LimitWindow::AtOnce,
            ("day" | "month" | "at_once", Some(_)) => {
                return Err(Problem::new(at("burst"), "needs a window that is a length"));
            }
            (length, burst) => {
                let length = length.parse::<SignedDuration>().ok();
                let length = length.and_then(|length| Duration::try_from(length).ok());
                let length = length.ok_or_else(|| {
                    let message = "must be a length like 10s, 1m or 12h, or day, month, at_once";
                    Problem::new(at("window"), message)
                })?;
                match burst {
                    None => LimitWindow::Rolling(length),
                    Some(burst) => LimitWindow::Smooth { period: length, burst },
                }
            }
        };
        let count = self.count.map_or(LimitCount::Unlimited, LimitCount::AtMost);
        if let (LimitWindow::Smooth { period, burst }, LimitCount::AtMost(count @ 1..)) =
            (window, count)
            && u128::from(burst).saturating_mul(period.as_micros()) / u128::from(count)
                > MAX_PAUSE.as_micros()
        {
            let message = "takes longer than a hundred years to come back at this pace";
            return Err(Problem::new(at("burst"), message));
        }
        let zone = zone(&self.zone, &at("zone"))?;
        Ok(Limit { name: self.name, count, window, unit: self.unit, per: self.per, zone })
    }

    /// All of a list, with everything that is wrong.
    pub(super) fn read_all(bodies: Vec<Self>) -> Result<Vec<Limit>, ApiError> {
        read_all(bodies, "limits", Self::read)
    }
}

/// All of a list, with everything that is wrong.
pub(super) fn read_all<B, T>(
    bodies: Vec<B>,
    field: &str,
    read: impl Fn(B, &str) -> Result<T, Problem>,
) -> Result<Vec<T>, ApiError> {
    if bodies.len() > MOST {
        return Err(Problem::new(field, format!("must have at most {MOST} entries")).into());
    }
    let mut problems = Vec::new();
    let read = |(at, body)| read(body, &format!("{field}[{at}]"));
    let read = bodies.into_iter().enumerate().map(read);
    let values = read.filter_map(|value| value.map_err(|problem| problems.push(problem)).ok());
    let values = values.collect();
    if problems.is_empty() { Ok(values) } else { Err(ApiError::Invalid(problems)) }
}

impl From<&Limit> for LimitBody {
    fn from(limit: &Limit) -> Self {
        let (window, burst) = match limit.window {
            LimitWindow::Rolling(length) => (length_of(length), None),
            LimitWindow::Smooth { period, burst } => (length_of(period), Some(burst)),
            LimitWindow::Day => ("day".into(), None),
            LimitWindow::Month => ("month".into(), None),
            _ => ("at_once".into(), None),
        };
        let count = if let LimitCount::AtMost(count) = limit.count { Some(count) } else { None };
        let Limit { name, unit, per, zone, .. } = limit;
        let (name, zone) = (name.clone(), zone.name().to_owned());
        Self { name, count, window, burst, unit: *unit, per: *per, zone }
    }
}

/// A length as it is read: `1h 30m`.
fn length_of(length: Duration) -> String {
    SignedDuration::try_from(length).map(|length| format!("{length:#}")).unwrap_or_default()
}

impl LimitStateView {
    /// How limits stand, with those that were not asked about left out.
    pub(crate) fn all(limits: &[AppliedLimit], states: &[LimitState]) -> Vec<Self> {
        let view = |state: &LimitState| {
            let AppliedLimit { limit, counted } = limits.get(state.at)?;
            let resets_after = state.resets_after.as_millis();
            Some(Self {
                limit: limit.into(),
                counts: *counted,
                used: state.used,
                remaining: state.remaining,
                resets_after_ms: u64::try_from(resets_after).unwrap_or(u64::MAX),
                exceeded: state.exceeded,
            })
        };
        states.iter().filter_map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn body(json: Value) -> LimitBody {
        serde_json::from_value(json).expect("a limit")
    }

    #[test]
    fn limits_are_written_as_they_are_read() {
        let hour_and_half = Duration::from_secs(5_400);
        for limit in [
            Limit::per_second(1),
            Limit::per_minute(100).for_each(LimitSubject::Owner),
            Limit::new("odd", 3, LimitWindow::Rolling(hour_and_half)),
            Limit::new("short", 3, LimitWindow::Rolling(Duration::from_millis(250))),
            Limit::smooth(10, Duration::from_secs(60), 5).of_cost(),
            Limit::per_day(1_000).in_zone(TimeZone::named("Europe/Berlin").expect("a zone")),
            Limit::per_month(0),
            Limit::at_once(4),
            Limit::per_minute(0).unlimited(),
        ] {
            let json = serde_json::to_value(LimitBody::from(&limit)).expect("JSON");
            assert_eq!(body(json).read("limits[0]"), Ok(limit));
        }
    }

    #[test]
    fn what_is_no_limit_is_named() {
        let base = serde_json::json!({"name": "a", "count": 1, "window": "1m"});
        for (name, value, field) in [
            ("window", "soon", "x.window"),
            ("window", "-1m", "x.window"),
            ("window", "1d", "x.window"),
            ("zone", "Mars/Base", "x.zone"),
        ] {
            let mut json = base.clone();
            json[name] = value.into();
            let problem = body(json).read("x").expect_err(value);
            assert_eq!(problem.field(), field);
        }
        let smooth = serde_json::json!({"name": "a", "count": 1, "window": "day", "burst": 1});
        assert_eq!(body(smooth).read("x").expect_err("no length").field(), "x.burst");
        let missing = serde_json::json!({"name": "a", "window": "1m"});
        assert!(serde_json::from_value::<LimitBody>(missing).is_err(), "null is no absence");
    }
}
