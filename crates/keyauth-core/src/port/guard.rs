//! Holding up those who try keys.

use std::fmt::Debug;
use std::time::Duration;

/// Remembers who has presented keys that nobody has issued, and holds him up.
///
/// # Contract
///
/// * Neither call blocks or waits: both are on the way of requests.
/// * Memory is bounded, and a flood of clients has nobody forgotten before his time.
pub trait Guard: Debug + Send + Sync {
    /// For how long a client is held up, if he is. To ask counts nothing.
    fn held_up(&self, client: &str) -> Option<Duration>;

    /// A client has presented a key that nobody has issued.
    fn failed(&self, client: &str);
}
