//! Trying custom keys.

use std::time::Duration;

use crate::{StoreError, StoreErrorKind, Timestamp};

/// How often an owner may choose custom keys that are in use, since each time tells that one is.
///
/// For stores, which keep when that was, and let nothing else that the owner does begin it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomKeyGuesses(());

impl CustomKeyGuesses {
    /// How often, within [`WINDOW`](Self::WINDOW).
    pub const MOST: u16 = 20;
    /// For how long each counts.
    pub const WINDOW: Duration = Duration::from_hours(1);

    /// From when on guesses count.
    #[must_use]
    pub fn since(now: Timestamp) -> Timestamp {
        let window = i64::try_from(Self::WINDOW.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(now.as_micros().saturating_sub(window))
    }

    /// Whether there may be another, after the latest [`MOST`](Self::MOST) of those that count, the
    /// oldest of them first.
    ///
    /// # Errors
    ///
    /// [`TooManyGuesses`](StoreErrorKind::TooManyGuesses).
    pub fn check(latest: &[Timestamp], now: Timestamp) -> Result<(), StoreError> {
        let most = usize::from(Self::MOST);
        let oldest = latest.len().checked_sub(most).and_then(|first| latest.get(first));
        match oldest {
            Some(oldest) => {
                let ends = oldest.saturating_add(Self::WINDOW);
                let retry_after = ends.saturating_duration_since(now);
                Err(StoreErrorKind::TooManyGuesses { retry_after }.into())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn the_twentieth_guess_is_the_last_for_an_hour() {
        let now = seconds(10_000);
        let guesses: Vec<_> = (0..19).map(|guess| seconds(9_000 + guess)).collect();
        assert!(CustomKeyGuesses::check(&guesses, now).is_ok());
        let guesses: Vec<_> = (0..20).map(|guess| seconds(9_000 + guess)).collect();
        let refused = CustomKeyGuesses::check(&guesses, now).expect_err("too many");
        let retry_after = Duration::from_secs(2_600);
        assert_eq!(*refused.kind(), StoreErrorKind::TooManyGuesses { retry_after });
        assert_eq!(CustomKeyGuesses::since(seconds(12_600)), seconds(9_000));
    }
}
