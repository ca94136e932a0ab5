//! Keeping the log in order.

use std::sync::Weak;
use std::time::Duration;

use keyauth_core::UsageLog;
use tokio::time::sleep;

/// How long after one time comes the next, and after one that failed. Days are made two ahead, so that
/// does no harm.
const EACH: Duration = Duration::from_secs(3_600);
const AGAIN: Duration = Duration::from_secs(60);

/// Tidies now and each hour, until the log is gone.
pub(super) async fn tidy<U: UsageLog>(log: Weak<U>, keep_calls_for: Option<Duration>) {
    while let Some(log) = log.upgrade() {
        let tidied = log.tidy(keep_calls_for).await;
        drop(log);
        if let Err(error) = &tidied {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "usage cannot be tidied, and is in a minute");
        }
        sleep(if tidied.is_ok() { EACH } else { AGAIN }).await;
    }
}
