//! Reading the record of usage.

use std::fmt::Debug;

use crate::{LimitedSubject, Period, StoreError, UsageEvent, UsageLine, UsageQuery, UsageTotal};

/// Reads what a [`UsageLog`](crate::UsageLog) has written.
///
/// # Contract
///
/// * What is read is of all batches whose writing has returned.
/// * Sums of whole days in UTC stay. What needs calls that were [let go of](crate::UsageLog::tidy) is
///   refused, and never answered by what is left.
/// * Nobody reads what others have used, and of those without a key there is nothing.
///
/// Checked by `keyauth_testkit::usage_log_conformance!`.
pub trait UsageReader: Debug + Send + Sync {
    /// Waits until what this process has recorded is written, where it still waits to be: what is
    /// read then is exact.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn flush(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// What was used: a line for each period, and each of what it is told apart by, in that order.
    /// Where nothing was used there is no line.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) for more than
    /// [`MOST_LINES`](UsageQuery::MOST_LINES), or calls that are not kept, and
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable).
    fn usage(
        &self,
        query: &UsageQuery,
    ) -> impl Future<Output = Result<Vec<UsageLine>, StoreError>> + Send;

    /// The first calls that began in a period, in the order in which they did: so many, and all of
    /// the last one's microsecond. So the next are those that began after it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) where some of them are not kept, and
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable).
    fn calls(
        &self,
        of: &LimitedSubject,
        period: Period,
        count: u32,
    ) -> impl Future<Output = Result<Vec<UsageEvent>, StoreError>> + Send;

    /// All that somebody has used in a period.
    ///
    /// # Errors
    ///
    /// Those of [`usage`](Self::usage).
    fn total(
        &self,
        of: &LimitedSubject,
        period: Period,
    ) -> impl Future<Output = Result<UsageTotal, StoreError>> + Send {
        let query = UsageQuery::total(of.clone(), period);
        async move {
            let lines = self.usage(&query).await?;
            Ok(lines.first().map(|line| line.used).unwrap_or_default())
        }
    }
}
