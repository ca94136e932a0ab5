//! What prices are multiplied by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Amount;

/// How many parts a whole has.
const SCALE: u32 = 10_000;
const DECIMALS: usize = 4;
/// One more than the largest whole part.
const BOUND: u32 = 100_000;

/// What everything that a key is charged is multiplied by: 0.0001 to 99 999.9999, exactly.
///
/// A group carries one, and an owner's own takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RateMultiplier(u32);

impl RateMultiplier {
    /// Prices stay as they are.
    pub const ONE: Self = Self(SCALE);

    /// What an amount becomes: rounded to the nearest fraction, halves upwards, and within
    /// [`Amount::MAX`] either way.
    #[must_use]
    pub fn apply(self, amount: Amount) -> Amount {
        let scale = i128::from(SCALE);
        let product = i128::from(amount.as_fractions()) * i128::from(self.0);
        let rounded = (product + scale / 2).div_euclid(scale);
        let most = i128::from(i64::MAX);
        let rounded = i64::try_from(rounded.clamp(-most, most));
        rounded.map_or(Amount::MAX, Amount::from_fractions)
    }
}

impl Default for RateMultiplier {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for RateMultiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / SCALE, self.0 % SCALE);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for RateMultiplier {
    type Err = InvalidRateMultiplier;

    fn from_str(text: &str) -> Result<Self, InvalidRateMultiplier> {
        let (whole, parts) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(parts) || parts.is_empty() || parts.len() > DECIMALS {
            return Err(InvalidRateMultiplier);
        }
        let whole: u32 = whole.parse().map_err(|_| InvalidRateMultiplier)?;
        let parts: u32 =
            format!("{parts:0<DECIMALS$}").parse().map_err(|_| InvalidRateMultiplier)?;
        match whole {
            0 if parts == 0 => Err(InvalidRateMultiplier),
            0..BOUND => Ok(Self(whole * SCALE + parts)),
            _ => Err(InvalidRateMultiplier),
        }
    }
}

impl TryFrom<String> for RateMultiplier {
    type Error = InvalidRateMultiplier;

    fn try_from(text: String) -> Result<Self, InvalidRateMultiplier> {
        text.parse()
    }
}

impl From<RateMultiplier> for String {
    fn from(multiplier: RateMultiplier) -> Self {
        multiplier.to_string()
    }
}

/// A text is no multiplier of prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRateMultiplier;

impl fmt::Display for InvalidRateMultiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a decimal above zero with at most four places, below 100 000")
    }
}

impl std::error::Error for InvalidRateMultiplier {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, parts) in
            [("1", SCALE), ("0.0001", 1), ("1.5", 15_000), ("99999.9999", 999_999_999)]
        {
            assert_eq!(text.parse(), Ok(RateMultiplier(parts)), "{text}");
            assert_eq!(RateMultiplier(parts).to_string(), text);
        }
        for bad in
            ["", ".", "1.", ".5", "0", "0.0", "-1", "+1", "1e3", "NaN", "0.00001", "100000", "٣"]
        {
            assert_eq!(bad.parse::<RateMultiplier>(), Err(InvalidRateMultiplier), "{bad}");
        }
    }

    #[test]
    fn amounts_are_rounded_to_the_nearest_fraction() {
        let check = |multiplier: &str, fractions, expected| {
            let multiplier: RateMultiplier = multiplier.parse().expect("a multiplier");
            let multiplied = multiplier.apply(Amount::from_fractions(fractions));
            assert_eq!(multiplied.as_fractions(), expected);
        };
        check("1", 7, 7);
        check("0.5", 3, 2);
        check("0.5", 2, 1);
        check("0.0001", 4_999, 0);
        check("1.3", i64::MAX, i64::MAX);
        check("1.3", i64::MIN, -i64::MAX);
        check("1", i64::MAX, i64::MAX);
        check("1", 0, 0);
    }
}
