//! Noticing that Redis is away.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What a failure weighs, and a success takes away again.
const FAILURE: u32 = 4;
const SUCCESS: u32 = 1;
/// Three failures in a row, or some twenty calls of which a third fails, as when one of the
/// servers of a cluster is frozen.
const OPEN: u32 = 3 * FAILURE;

/// Open while Redis is away: nobody asks it then but the one who looks whether it is back.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    score: AtomicU32,
    open: AtomicBool,
}

impl Breaker {
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// A call has failed. Says whether that has opened it.
    pub(crate) fn failed(&self) -> bool {
        let before = self.score.fetch_add(FAILURE, Ordering::AcqRel);
        before + FAILURE >= OPEN && !self.open.swap(true, Ordering::AcqRel)
    }

    /// A call has been answered.
    pub(crate) fn succeeded(&self) {
        // Read first: a store for each call would move the line between all cores.
        if self.score.load(Ordering::Relaxed) > 0 {
            let less = |score: u32| Some(score.saturating_sub(SUCCESS));
            let _ = self.score.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        }
    }

    /// Redis is back.
    pub(crate) fn close(&self) {
        self.score.store(0, Ordering::Release);
        self.open.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_open_it_and_nothing_but_closing_closes_it() {
        let breaker = Breaker::default();
        assert!(!breaker.failed() && !breaker.failed() && !breaker.is_open());
        assert!(breaker.failed() && breaker.is_open());
        assert!(!breaker.failed(), "it is opened once");
        breaker.succeeded();
        assert!(breaker.is_open());
        breaker.close();
        assert!(!breaker.is_open() && !breaker.failed());
    }

    #[test]
    fn one_server_in_three_opens_it_and_one_call_in_ten_does_not() {
        for (every, opens) in [(3, true), (10, false)] {
            let breaker = Breaker::default();
            for call in 1..1_000 {
                if call % every == 0 {
                    breaker.failed();
                } else {
                    breaker.succeeded();
                }
            }
            assert_eq!(breaker.is_open(), opens, "one in {every}");
        }
    }
}
