//! Amounts of money or of whatever a budget counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Fractions in one unit: amounts are kept to eight decimal places.
const SCALE: i64 = 100_000_000;
const DECIMALS: usize = 8;

/// An amount in fixed point: whole multiples of 0.00000001 of a unit, never a float.
///
/// From -92 233 720 368 to +92 233 720 368 units. Read from and written as a decimal.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest there is, beyond 92 billion units.
    pub const MAX: Self = Self(i64::MAX);

    /// A whole number of units; `None` where that is out of range.
    #[must_use]
    pub const fn from_units(units: i64) -> Option<Self> {
        match units.checked_mul(SCALE) {
            Some(fractions) => Some(Self(fractions)),
            None => None,
        }
    }

    /// That many hundred-millionths of a unit.
    #[must_use]
    pub const fn from_fractions(fractions: i64) -> Self {
        Self(fractions)
    }

    /// Hundred-millionths of a unit.
    #[must_use]
    pub const fn as_fractions(self) -> i64 {
        self.0
    }

    /// The sum; `None` where it is out of range.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(fractions) => Some(Self(fractions)),
            None => None,
        }
    }

    /// The difference; `None` where it is out of range.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(fractions) => Some(Self(fractions)),
            None => None,
        }
    }

    /// The sum, or the end of the range where it is beyond.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or the end of the range where it is beyond.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scale, fractions) = (SCALE.unsigned_abs(), self.0.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        let text = format!("{sign}{}.{:08}", fractions / scale, fractions % scale);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    /// Reads a plain decimal like `-12.5`: no exponent, no grouping, at most eight places.
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (units, places) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(units) || !all_digits(places) || places.len() > DECIMALS {
            return Err(InvalidAmount);
        }
        let units: i128 = units.parse().map_err(|_| InvalidAmount)?;
        let places: i128 = format!("{places:0<DECIMALS$}").parse().map_err(|_| InvalidAmount)?;
        let fractions =
            units.checked_mul(i128::from(SCALE)).and_then(|units| units.checked_add(places));
        let fractions = fractions.map(|fractions| if negative { -fractions } else { fractions });
        fractions.and_then(|fractions| i64::try_from(fractions).ok()).map(Self).ok_or(InvalidAmount)
    }
}

impl TryFrom<String> for Amount {
    type Error = InvalidAmount;

    fn try_from(text: String) -> Result<Self, InvalidAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

/// A text was no amount, or one out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAmount;

impl fmt::Display for InvalidAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a decimal with at most eight places, within 92 233 720 368 units")
    }
}

impl std::error::Error for InvalidAmount {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, fractions) in
            [("0", 0), ("1", SCALE), ("0.00000001", 1), ("-12.5", -1_250_000_000)]
        {
            assert_eq!(text.parse(), Ok(Amount(fractions)), "{text}");
            assert_eq!(Amount(fractions).to_string(), text);
        }
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "+1",
            "1e3",
            "NaN",
            "inf",
            "0.000000001",
            "92233720369",
            "--1",
            "1,5",
            "٣",
        ] {
            assert_eq!(bad.parse::<Amount>(), Err(InvalidAmount), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(fractions: i64) {
            prop_assert_eq!(Amount(fractions).to_string().parse(), Ok(Amount(fractions)));
        }
    }
}
