//! Keeping the log in order.

use std::sync::Weak;
use std::time::Duration;

use keyauth_core::UsageLog;
use tokio::time::sleep;

/// How long after one time comes the next. Days are made two ahead, so one that fails does no harm.
const EACH: Duration = Duration::from_secs(3_600);

/// Tidies now and each hour, until the log is gone.
pub(super) async fn tidy<U: UsageLog>(log: Weak<U>, keep_calls_for: Option<Duration>) {
    while let Some(log) = log.upgrade() {
        if let Err(error) = log.tidy(keep_calls_for).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "usage cannot be tidied, and is in an hour");
        }
        drop(log);
        sleep(EACH).await;
    }
}
