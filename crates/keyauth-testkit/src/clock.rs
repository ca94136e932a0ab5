//! A clock that tests turn.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keyauth_core::{Clock, Timestamp};

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct FakeClock(Mutex<Hands>);

#[derive(Clone, Copy, Debug)]
struct Hands {
    wall: Timestamp,
    uptime: Duration,
}

impl FakeClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(Mutex::new(Hands { wall: now, uptime: Duration::from_secs(1_000) }))
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.change(|hands| {
            hands.wall = hands.wall.saturating_add(by);
            hands.uptime += by;
        });
    }

    /// Sets the wall clock, as somebody with the wrong time would. No time passes.
    pub fn set_wall(&self, now: Timestamp) {
        self.change(|hands| hands.wall = now);
    }

    fn change(&self, change: impl FnOnce(&mut Hands)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn hands(&self) -> Hands {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeClock {
    /// The third of June 2026, at noon.
    fn default() -> Self {
        Self::at(Timestamp::from_unix_seconds(1_780_488_000))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.hands().wall
    }

    fn uptime(&self) -> Duration {
        self.hands().uptime
    }
}
