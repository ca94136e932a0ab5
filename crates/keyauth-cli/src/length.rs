//! Lengths of time, as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Days have 24 hours here, and nothing longer is known.
pub(crate) fn read(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "must be a time like 90s, 12h or 30d";
    let span = text.parse::<Span>().map_err(|_| WRONG)?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| WRONG)?;
    Duration::try_from(length).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_24_hours() {
        for (text, seconds) in [("30d", 30 * 86_400), ("1h 30m", 5_400), ("90s", 90), ("0s", 0)] {
            assert_eq!(read(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "-1h", "1mo", "1y", "10"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
