//! How often a key may be used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::words;
use crate::issue::Fields;
use crate::{InvalidInput, TimeZone};

/// A named limit on the use of a key, or of all keys of an owner, a group or a tenant.
///
/// A record carries its limits; they take effect where a limiter is configured. Where several
/// say how much the same is allowed, by the same name and [`per`](Self::per), the closest one
/// counts: a key's before its owner's, its group's and its tenant's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Tells the limits of one key apart, and names this one to clients.
    pub name: String,
    /// How much.
    pub count: LimitCount,
    /// In which time.
    pub window: LimitWindow,
    /// What of each request is counted.
    #[serde(default)]
    pub unit: LimitUnit,
    /// Whose use is counted together; that of whatever the limit is set on where `None`.
    #[serde(default)]
    pub per: Option<LimitSubject>,
    /// Where calendar windows begin at midnight.
    #[serde(default)]
    pub zone: TimeZone,
}

impl Limit {
    /// A limit of requests in a window, for whatever it is set on.
    #[must_use]
    pub fn new(name: impl Into<String>, count: u64, window: LimitWindow) -> Self {
        let (name, count) = (name.into(), LimitCount::AtMost(count));
        Self { name, count, window, unit: LimitUnit::Requests, per: None, zone: TimeZone::UTC }
    }

    /// Whether limits are such that a key could have them.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`], naming the fields: two of one name, a window of no time, and more.
    pub fn check(limits: &[Self]) -> Result<(), InvalidInput> {
        Fields::check_terms(LimitSubject::Key, limits, &[])
    }

    /// At most `count` calls in any second.
    #[must_use]
    pub fn per_second(count: u64) -> Self {
        Self::new("second", count, LimitWindow::Rolling(Duration::from_secs(1)))
    }

    /// At most `count` calls in any minute.
    #[must_use]
    pub fn per_minute(count: u64) -> Self {
        Self::new("minute", count, LimitWindow::Rolling(Duration::from_secs(60)))
    }

    /// At most `count` calls in any hour.
    #[must_use]
    pub fn per_hour(count: u64) -> Self {
        Self::new("hour", count, LimitWindow::Rolling(Duration::from_secs(3_600)))
    }

    /// At most `count` calls in a calendar day, of UTC unless [in a zone](Self::in_zone).
    #[must_use]
    pub fn per_day(count: u64) -> Self {
        Self::new("day", count, LimitWindow::Day)
    }

    /// At most `count` calls in a calendar month, of UTC unless [in a zone](Self::in_zone).
    #[must_use]
    pub fn per_month(count: u64) -> Self {
        Self::new("month", count, LimitWindow::Month)
    }

    /// At most `count` calls under way at once, each until the body of its answer has ended.
    #[must_use]
    pub fn at_once(count: u64) -> Self {
        Self::new("at_once", count, LimitWindow::AtOnce)
    }

    /// `count` calls in a period, evenly: one each `period / count`, and `burst` at once after a
    /// pause.
    #[must_use]
    pub fn smooth(count: u64, period: Duration, burst: u64) -> Self {
        Self::new("smooth", count, LimitWindow::Smooth { period, burst })
    }

    /// By another name, as where two limits of one kind stand side by side.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Counts what requests cost instead of requests, like tokens.
    #[must_use]
    pub fn of_cost(self) -> Self {
        Self { unit: LimitUnit::Cost, ..self }
    }

    /// For each of a kind by itself: a group's limit for each owner in it, say.
    #[must_use]
    pub fn for_each(self, subject: LimitSubject) -> Self {
        Self { per: Some(subject), ..self }
    }

    /// By the calendar of a time zone.
    #[must_use]
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Self { zone, ..self }
    }

    /// Without a bound: takes off a limit of the same name that is set further out.
    #[must_use]
    pub fn unlimited(self) -> Self {
        Self { count: LimitCount::Unlimited, ..self }
    }
}

/// How much a limit lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitCount {
    /// So much; zero refuses all.
    AtMost(u64),
    /// Any number.
    Unlimited,
}

/// The time in which a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitWindow {
    /// Any stretch of this length: never more than the count in any of them. A place is free
    /// again when it has passed, and at most a twentieth of it later.
    Rolling(Duration),
    /// Evenly spread, by the generic cell rate algorithm (ITU-T I.371): in any stretch of time at
    /// most `burst` and the count times the part of `period` that it is.
    Smooth {
        /// In which the count is let through at an even pace.
        period: Duration,
        /// How much may come at once.
        burst: u64,
    },
    /// The calendar day.
    Day,
    /// The calendar month.
    Month,
    /// No time: what is under way at any moment.
    AtOnce,
}

/// What a limit counts of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitUnit {
    /// That it was made: one.
    #[default]
    Requests,
    /// What it costs, which the service says; one where it says nothing.
    Cost,
}

/// Whose use is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitSubject {
    /// One key's.
    Key,
    /// All keys' of an owner.
    Owner,
    /// All keys' that are bound to a group.
    Group,
    /// All keys' of a tenant.
    Tenant,
}

words!(LimitSubject {
    Key => "key",
    Owner => "owner",
    Group => "group",
    Tenant => "tenant",
});
