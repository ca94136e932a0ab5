//! Time.

use std::fmt::Debug;
use std::time::Duration;
#[cfg(not(target_os = "linux"))]
use std::time::Instant;
use std::time::SystemTime;

use crate::Timestamp;

/// Tells the time.
///
/// # Contract
///
/// * [`now`](Clock::now) is the wall clock, and may jump either way.
/// * [`uptime`](Clock::uptime) never goes back and counts time the machine was suspended.
/// * Neither blocks: both are read on every request.
///
/// Checked by `keyauth_testkit::conformance::check_clock`.
pub trait Clock: Debug + Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, untouched by changes of the wall clock.
    fn uptime(&self) -> Duration;
}

/// The machine's clocks: `CLOCK_REALTIME` and, on Linux, `CLOCK_BOOTTIME`.
///
/// Elsewhere the uptime is that of [`std::time::Instant`], which may stand still while the
/// machine is suspended.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    #[cfg(not(target_os = "linux"))]
    started: Instant,
}

impl SystemClock {
    /// The machine's clocks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            #[cfg(not(target_os = "linux"))]
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
            }
        };
        Timestamp::from_micros(micros)
    }

    #[cfg(target_os = "linux")]
    fn uptime(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    }

    #[cfg(not(target_os = "linux"))]
    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
