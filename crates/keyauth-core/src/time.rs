//! Points in time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// Microseconds because that is what PostgreSQL keeps: a timestamp survives the way into
/// any store and back unchanged. Leap seconds are not counted, as in Unix time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest time that can be expressed; about the year 294 000.
    pub const MAX: Self = Self(i64::MAX);

    /// The time `micros` microseconds after the Unix epoch, or before it where negative.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The time `seconds` after the Unix epoch, saturating at the ends of the range.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This time moved forward, saturating at [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How long ago `earlier` was, or zero where it lies in the future.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        let micros = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Timestamp {
    /// As RFC 3339 has it, in UTC; beyond the years -9999 to 9999 their last instants.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        instant(*self).fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads what RFC 3339 has, in any offset, to the microsecond.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        // The parser takes more than there is.
        let instant = Some(text).filter(|text| is_rfc3339(text.as_bytes()));
        let instant = instant.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        instant.map(|instant| Self(instant.as_microsecond())).ok_or(InvalidTimestamp(()))
    }
}

/// Whether a text is shaped like a `date-time` of RFC 3339 section 5.6.
fn is_rfc3339(text: &[u8]) -> bool {
    let like = |text: &[u8], shape: &[u8]| {
        let same = |(byte, like): (&u8, &u8)| match like {
            b'0' => byte.is_ascii_digit(),
            b'T' | b'Z' => byte.eq_ignore_ascii_case(like),
            _ => byte == like,
        };
        text.len() == shape.len() && text.iter().zip(shape).all(same)
    };
    let Some((time, rest)) = text.split_at_checked(19) else { return false };
    let offset = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction.get(digits..).filter(|_| digits > 0)
        }
        _ => Some(rest),
    };
    let is_offset =
        |offset| [b"Z".as_slice(), b"+00:00", b"-00:00"].iter().any(|shape| like(offset, shape));
    like(time, b"0000-00-00T00:00:00") && offset.is_some_and(is_offset)
}

/// The same for reckoning with calendars.
pub(crate) fn instant(at: Timestamp) -> jiff::Timestamp {
    let nearest = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(at.0).unwrap_or(nearest)
}

/// What is read is no point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp(pub(crate) ());

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a time like 2026-11-22T10:00:00Z, or a date like 2026-11-22")
    }
}

impl std::error::Error for InvalidTimestamp {}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({}us)", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        let lowest = Timestamp::from_micros(i64::MIN);
        assert_eq!(lowest.saturating_duration_since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(
            Timestamp::MAX.saturating_duration_since(lowest),
            Duration::from_micros(u64::MAX)
        );
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for text in ["1970-01-01T00:00:00Z", "2026-11-22T10:00:00.000001Z", "9999-12-30T22:00:00Z"]
        {
            assert_eq!(text.parse::<Timestamp>().map(|at| at.to_string()).as_deref(), Ok(text));
        }
        let east = "2026-11-22T11:00:00+01:00".parse::<Timestamp>().map(|at| at.to_string());
        assert_eq!(east.as_deref(), Ok("2026-11-22T10:00:00Z"));
        let small = "2026-11-22t10:00:00.5z".parse::<Timestamp>().map(|at| at.to_string());
        assert_eq!(small.as_deref(), Ok("2026-11-22T10:00:00.5Z"));
        for text in [
            "",
            "now",
            "1763805600",
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-13-01T00:00:00Z",
            "2026-11-22 10:00:00Z",
            "2026-11-22T10Z",
            "20261122T100000Z",
            "2026-11-22T10:00:00Z[UTC]",
            "2026-11-22T10:00:00,5Z",
            "2026-11-22T10:00:00.Z",
            "2026-11-22T10:00:00+01",
            "2026-11-22T10:00:00+01:00:30",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text:?}");
        }
        assert!(Timestamp::MAX.to_string().starts_with("9999-12-30"));
    }
}
