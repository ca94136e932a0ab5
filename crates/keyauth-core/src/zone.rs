//! Time zones, and the days and months in them.

use std::fmt;
use std::sync::LazyLock;

use jiff::civil::Date;
use jiff::tz::TimeZoneDatabase;
use jiff::{ToSpan, Zoned};
use serde::{Deserialize, Serialize};

use crate::time::instant;
use crate::{InvalidTimestamp, Timestamp};

/// A time zone of the IANA database, by its name; UTC by default.
///
/// The database is part of the program, so that all instances have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone(jiff::tz::TimeZone);

/// A day or month: from `start` on, and before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl TimeZone {
    /// The zone that knows no summer.
    pub const UTC: Self = Self(jiff::tz::TimeZone::UTC);

    /// The zone by its name in the IANA database, like `Europe/Berlin`, in any case.
    ///
    /// # Errors
    ///
    /// [`UnknownTimeZone`] where there is none by that name.
    pub fn named(name: &str) -> Result<Self, UnknownTimeZone> {
        // Not the machine's, which others in the program may have asked for.
        static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
        let zone = BUNDLED.get(name).map_err(|_| UnknownTimeZone(()))?;
        // Those without a name could not be written down.
        if zone.iana_name().is_some() { Ok(Self(zone)) } else { Err(UnknownTimeZone(())) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The calendar day that an instant is in. Where the clocks change, it is longer or shorter
    /// than 24 hours, and begins when the date does.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> Period {
        self.period(at, |date| date, |date| date.checked_add(1.day()))
    }

    /// The calendar week that an instant is in, from Monday on (ISO 8601).
    #[must_use]
    pub fn week(&self, at: Timestamp) -> Period {
        let monday = |date: Date| {
            let days = i64::from(date.weekday().to_monday_zero_offset());
            date.checked_sub(days.days()).unwrap_or(date)
        };
        self.period(at, monday, |date| date.checked_add(1.week()))
    }

    /// The calendar month that an instant is in.
    #[must_use]
    pub fn month(&self, at: Timestamp) -> Period {
        self.period(at, Date::first_of_month, |date| date.checked_add(1.month()))
    }

    /// Reads a time as people write it: as RFC 3339 has it, or a date, for its first instant here.
    ///
    /// # Errors
    ///
    /// [`InvalidTimestamp`] for all else.
    pub fn read_time(&self, text: &str) -> Result<Timestamp, InvalidTimestamp> {
        let is_date = text.len() == "2026-11-22".len();
        let date = is_date.then(|| text.parse().ok()).flatten();
        match date {
            Some(date) => self.begin(date).ok_or(InvalidTimestamp(())),
            None => text.parse(),
        }
    }

    /// What lies between the beginnings of two dates.
    fn period(
        &self,
        at: Timestamp,
        first: impl Fn(Date) -> Date,
        next: impl Fn(Date) -> Result<Date, jiff::Error>,
    ) -> Period {
        let date = first(Zoned::new(instant(at), self.0.clone()).date());
        let start = self.begin(date).unwrap_or(at);
        let mut after = date;
        // More than once where a zone has left out a date, as Samoa has 2011-12-30.
        while let Ok(date) = next(after) {
            match self.begin(date) {
                Some(end) if end > at => return Period { start: start.min(at), end },
                Some(_) => after = date,
                None => break,
            }
        }
        Period { start: start.min(at), end: Timestamp::MAX }
    }

    /// The first instant of a date.
    fn begin(&self, date: Date) -> Option<Timestamp> {
        let zoned = date.to_zoned(self.0.clone()).ok()?;
        Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::UTC
    }
}

impl TryFrom<String> for TimeZone {
    type Error = UnknownTimeZone;

    fn try_from(name: String) -> Result<Self, UnknownTimeZone> {
        Self::named(&name)
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> Self {
        zone.name().to_owned()
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No time zone has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTimeZone(());

impl fmt::Display for UnknownTimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no name of a time zone like Europe/Berlin")
    }
}

impl std::error::Error for UnknownTimeZone {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().expect("an instant");
        Timestamp::from_micros(instant.as_microsecond())
    }

    #[track_caller]
    fn check(period: Period, start: &str, end: &str) {
        assert_eq!(period, Period { start: at(start), end: at(end) });
    }

    #[test]
    fn days_are_the_zones_own() {
        // L6
        let berlin = TimeZone::named("europe/berlin").expect("a zone");
        assert_eq!(berlin.name(), "Europe/Berlin");
        let winter = berlin.day(at("2026-01-15T23:30:00Z"));
        check(winter, "2026-01-15T23:00:00Z", "2026-01-16T23:00:00Z");
        // 23 hours, and 25.
        let spring = berlin.day(at("2026-03-29T12:00:00Z"));
        check(spring, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        let autumn = berlin.day(at("2026-10-24T22:00:00Z"));
        check(autumn, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        // No midnight: the day begins at one.
        let cairo = TimeZone::named("Africa/Cairo").expect("a zone");
        let gap = cairo.day(at("2026-04-24T12:00:00Z"));
        check(gap, "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z");
        // No such date.
        let apia = TimeZone::named("Pacific/Apia").expect("a zone");
        let before = apia.day(at("2011-12-30T09:00:00Z"));
        check(before, "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z");
    }

    #[test]
    fn months_begin_with_the_zones_first_day() {
        check(
            TimeZone::UTC.month(at("2028-02-29T23:59:59Z")),
            "2028-02-01T00:00:00Z",
            "2028-03-01T00:00:00Z",
        );
        let berlin = TimeZone::named("Europe/Berlin").expect("a zone");
        let march = berlin.month(at("2026-03-01T00:00:00Z"));
        check(march, "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
    }

    #[test]
    fn dates_are_read_as_their_first_instant() {
        let berlin = TimeZone::named("Europe/Berlin").expect("a zone");
        assert_eq!(berlin.read_time("2026-03-01"), Ok(at("2026-02-28T23:00:00Z")));
        assert_eq!(TimeZone::UTC.read_time("2026-03-01"), Ok(at("2026-03-01T00:00:00Z")));
        assert_eq!(berlin.read_time("2026-03-01T00:00:00Z"), Ok(at("2026-03-01T00:00:00Z")));
        for text in ["", "2026-02-30", "20260301", "2026-03-01T00:00", "2026-3-1", "today"] {
            assert!(berlin.read_time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_ends_of_time_are_days_too() {
        for at in [Timestamp::from_micros(i64::MIN), Timestamp::MAX] {
            let day = TimeZone::UTC.day(at);
            assert!(day.start <= at && day.start <= day.end, "{day:?}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", "Mars/Olympus", "Europe/Berlin ", "+02:00", "../etc/passwd"] {
            assert!(TimeZone::named(name).is_err(), "{name:?}");
        }
        let read = serde_json::from_str::<TimeZone>("\"Mars/Olympus\"");
        assert!(read.is_err());
    }
}
