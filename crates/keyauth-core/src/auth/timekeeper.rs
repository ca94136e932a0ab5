//! A clock that does not go back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::{Clock, Timestamp};

/// The time of a [`Clock`], held from going back: what was expired stays expired (S7).
///
/// It remembers the furthest the wall clock was ever ahead of the uptime, and counts the
/// uptime from there. The price is that after a jump forward by mistake keys go on expiring
/// early by that much, until the process is started anew: the safe side.
#[derive(Debug)]
pub(super) struct Timekeeper {
    clock: Arc<dyn Clock>,
    /// Microseconds; grows only, and rarely, so that all cores can keep it cached.
    furthest_ahead: AtomicI64,
}

impl Timekeeper {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, furthest_ahead: AtomicI64::new(i64::MIN) }
    }

    pub(super) fn now(&self) -> Timestamp {
        // The wall clock first: were the thread held up between the two, the other order
        // would push the time ahead for good.
        let wall = self.clock.now().as_micros();
        let uptime = i64::try_from(self.clock.uptime().as_micros()).unwrap_or(i64::MAX);
        let ahead = wall.saturating_sub(uptime);
        let mut furthest = self.furthest_ahead.load(Ordering::Relaxed);
        if ahead > furthest {
            furthest = self.furthest_ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead);
        }
        Timestamp::from_micros(uptime.saturating_add(furthest))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug, Default)]
    struct Fake {
        wall: AtomicI64,
        uptime: AtomicI64,
    }

    impl Fake {
        fn set(&self, wall: i64, uptime: i64) {
            self.wall.store(wall, Ordering::Relaxed);
            self.uptime.store(uptime, Ordering::Relaxed);
        }
    }

    impl Clock for Fake {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.wall.load(Ordering::Relaxed))
        }

        fn uptime(&self) -> Duration {
            Duration::from_micros(self.uptime.load(Ordering::Relaxed).unsigned_abs())
        }
    }

    #[test]
    fn time_follows_the_wall_forward_and_the_uptime_otherwise() {
        let fake = Arc::new(Fake::default());
        let time = Timekeeper::new(Arc::clone(&fake) as Arc<dyn Clock>);
        for (wall, uptime, expected) in [
            (1_000, 10, 1_000),
            (1_005, 15, 1_005),
            (9_000, 20, 9_000), // a jump forward is followed
            (1_025, 35, 9_015), // one back is not: the uptime goes on from there
            (9_100, 40, 9_100),
            (0, 41, 9_101),
        ] {
            fake.set(wall, uptime);
            assert_eq!(time.now(), Timestamp::from_micros(expected), "wall {wall}");
        }
    }
}
