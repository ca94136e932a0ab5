//! What has been used, as it was recorded.

use std::fmt::Debug;

use crate::{LimitUnit, LimitedSubject, LookupError, Period};

/// Knows what was used in a day or month, for counts that were lost.
///
/// # Contract
///
/// * It knows of every use recorded before it was asked.
/// * It has a deadline of its own, which requests wait for.
pub trait UsageSums: Debug + Send + Sync {
    /// How many requests somebody has made in a period, or what they cost.
    fn used(
        &self,
        subject: &LimitedSubject,
        unit: LimitUnit,
        period: Period,
    ) -> impl Future<Output = Result<u64, LookupError>> + Send;
}
