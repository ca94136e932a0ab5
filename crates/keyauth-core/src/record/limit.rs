//! How often a key may be used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A named limit on the number of calls.
///
/// A record carries its limits; they take effect where a limiter is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Tells the limits of one key apart, and names this one to clients.
    pub name: String,
    /// How many calls.
    pub count: LimitCount,
    /// In which time.
    pub window: LimitWindow,
}

impl Limit {
    /// At most `count` calls in any second.
    #[must_use]
    pub fn per_second(count: u64) -> Self {
        Self::rolling("second", count, Duration::from_secs(1))
    }

    /// At most `count` calls in any minute.
    #[must_use]
    pub fn per_minute(count: u64) -> Self {
        Self::rolling("minute", count, Duration::from_secs(60))
    }

    /// At most `count` calls in any hour.
    #[must_use]
    pub fn per_hour(count: u64) -> Self {
        Self::rolling("hour", count, Duration::from_secs(3_600))
    }

    /// At most `count` calls in a calendar day (UTC).
    #[must_use]
    pub fn per_day(count: u64) -> Self {
        Self { name: "day".to_owned(), count: LimitCount::AtMost(count), window: LimitWindow::Day }
    }

    /// At most `count` calls in a calendar month (UTC).
    #[must_use]
    pub fn per_month(count: u64) -> Self {
        Self {
            name: "month".to_owned(),
            count: LimitCount::AtMost(count),
            window: LimitWindow::Month,
        }
    }

    fn rolling(name: &str, count: u64, window: Duration) -> Self {
        let (name, count) = (name.to_owned(), LimitCount::AtMost(count));
        Self { name, count, window: LimitWindow::Rolling(window) }
    }
}

/// How many calls a limit lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitCount {
    /// So many; zero refuses all.
    AtMost(u64),
    /// Any number.
    Unlimited,
}

/// The time in which a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitWindow {
    /// Any stretch of this length.
    Rolling(Duration),
    /// The calendar day.
    Day,
    /// The calendar month.
    Month,
}
