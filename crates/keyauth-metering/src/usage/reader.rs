//! Reading what was recorded.

use keyauth_core::{
    LimitedSubject, Period, StoreError, UsageEvent, UsageLine, UsageLog, UsageQuery, UsageReader,
};

use super::UsageRecorder;

/// What the log has. After [`flush`](UsageReader::flush) that includes all that was recorded here.
impl<U: UsageLog + UsageReader> UsageReader for UsageRecorder<U> {
    async fn flush(&self) -> Result<(), StoreError> {
        Self::flush(self).await
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageLine>, StoreError> {
        self.log().usage(query).await
    }

    async fn calls(
        &self,
        of: &LimitedSubject,
        period: Period,
        count: u32,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        self.log().calls(of, period, count).await
    }
}
