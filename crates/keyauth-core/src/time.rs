//! Points in time.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// Microseconds because that is what PostgreSQL keeps: a timestamp survives the way into
/// any store and back unchanged. Leap seconds are not counted, as in Unix time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Timestamp(
    /// Counted from the earliest one and never zero, so that one that may be missing takes no more
    /// room: a record has many of those.
    NonZeroU64,
);

/// What sets signed numbers that are below zero apart, and is turned over in those counted from the
/// lowest one.
const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// The latest time that can be expressed; about the year 294 000.
    pub const MAX: Self = Self(NonZeroU64::MAX);

    /// The time `micros` microseconds after the Unix epoch, or before it where negative.
    ///
    /// `i64::MIN` gives the same as the next number.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        match NonZeroU64::new(micros.cast_unsigned() ^ SIGN) {
            Some(from_earliest) => Self(from_earliest),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// The time `seconds` after the Unix epoch, saturating at the ends of the range.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// This time moved forward, saturating at [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How long ago `earlier` was, or zero where it lies in the future.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl From<i64> for Timestamp {
    fn from(micros: i64) -> Self {
        Self::from_micros(micros)
    }
}

impl From<Timestamp> for i64 {
    fn from(at: Timestamp) -> Self {
        at.as_micros()
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
        instant
            .map(|instant| Self::from_micros(instant.as_microsecond()))
            .ok_or(InvalidTimestamp(()))
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
    let micros = at.as_micros();
    let nearest = if micros < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(micros).unwrap_or(nearest)
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
        write!(f, "Timestamp({}us)", self.as_micros())
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
            Duration::from_micros(u64::MAX - 1)
        );
    }

    #[test]
    fn times_are_kept_as_they_are_in_order_and_in_eight_bytes() {
        let micros = [i64::MIN + 1, -1, 0, 1, i64::MAX];
        let times = micros.map(Timestamp::from_micros);
        assert!(times.is_sorted());
        assert_eq!(times.map(Timestamp::as_micros), micros);
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
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
