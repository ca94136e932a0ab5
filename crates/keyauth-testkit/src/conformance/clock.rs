//! The cases of the suite for [`Clock`].

use std::time::Duration;

use keyauth_core::{Clock, Timestamp};

/// Asserts what every clock must do: an uptime that goes on and never back, and a time of
/// day after this was written. It reads the clock until it has moved.
///
/// # Panics
///
/// Where the clock breaks its contract.
pub fn check_clock(clock: &impl Clock) {
    const WRITTEN: Timestamp = Timestamp::from_unix_seconds(1_780_000_000);
    assert!(clock.now() > WRITTEN, "the time of day is {:?}", clock.now());
    let started = clock.uptime();
    let mut last = started;
    while last < started + Duration::from_millis(1) {
        let now = clock.uptime();
        assert!(now >= last, "the uptime went back from {last:?} to {now:?}");
        last = now;
    }
}
