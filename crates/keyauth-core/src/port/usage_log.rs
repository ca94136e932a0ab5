//! The record of what was used.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Amount, BatchId, GroupId, KeyId, LimitUnit, OwnerId, StoreError, TenantId, Timestamp};

/// Writes a record of calls, and sums of it.
///
/// # Contract
///
/// * A batch is written as a whole and once: the same id again changes nothing. Its events, the
///   sums of each day, and when keys were last used change together.
/// * An event that cannot be written is set aside alone, with the reason: the others of its batch
///   are written.
/// * When a key was last used never goes back, and is known to the minute. Events of keys that are
///   gone are kept all the same.
/// * What was written is read by a [`UsageReader`](crate::UsageReader) once that has returned.
///
/// Checked by `keyauth_testkit::usage_log_conformance!`.
pub trait UsageLog: Debug + Send + Sync {
    /// Writes a batch. Says how many of its events were set aside.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone: it may have been written.
    fn write(&self, batch: &UsageBatch) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Makes room for what comes, forgets names of batches that nobody sends again, and lets go of
    /// calls of days that ended longer ago: to be called now and then. Sums of them stay.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn tidy(
        &self,
        keep_calls_for: Option<Duration>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// One call, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// When it began.
    pub at: Timestamp,
    /// Whose customer the owner is.
    pub tenant: TenantId,
    /// For whom the key speaks.
    pub owner: OwnerId,
    /// The group the key is bound to.
    pub group: Option<GroupId>,
    /// The key.
    pub key: KeyId,
    /// What was called, as the service names it; empty where that is unknown.
    pub route: Arc<str>,
    /// What was used of it: a model, say; empty where the service does not say.
    pub resource: Arc<str>,
    /// The status of the answer; zero where there was none.
    pub status: u16,
    /// What it came to, multiplied as for budgets.
    pub cost: Amount,
    /// What limits of cost counted it as.
    pub limit_cost: u64,
    /// How much went in, in units of the service's: tokens, say.
    pub input: u64,
    /// How much came out.
    pub output: u64,
    /// How long it took, to its end.
    pub duration: Duration,
    /// Where it came from, where that is known.
    pub address: Option<IpAddr>,
}

/// Events that are written together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageBatch {
    /// Its name, which no other batch has.
    pub id: BatchId,
    /// Its events.
    pub events: Vec<UsageEvent>,
}

/// How much was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageTotal {
    /// How many calls.
    pub requests: u64,
    /// How many of them the service has failed at, or not answered.
    pub failures: u64,
    /// What they came to.
    pub cost: Amount,
    /// What limits of cost counted them as.
    pub limit_cost: u64,
    /// How much went in.
    pub input: u64,
    /// How much came out.
    pub output: u64,
}

impl UsageTotal {
    /// This and another together.
    #[must_use]
    pub const fn saturating_add(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            failures: self.failures.saturating_add(other.failures),
            cost: self.cost.saturating_add(other.cost),
            limit_cost: self.limit_cost.saturating_add(other.limit_cost),
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
        }
    }

    /// What a limit has counted of it.
    #[must_use]
    pub const fn counted(&self, unit: LimitUnit) -> u64 {
        match unit {
            LimitUnit::Requests => self.requests,
            LimitUnit::Cost => self.limit_cost,
        }
    }
}

impl From<&UsageEvent> for UsageTotal {
    fn from(event: &UsageEvent) -> Self {
        Self {
            requests: 1,
            failures: u64::from(event.has_failed()),
            cost: event.cost,
            limit_cost: event.limit_cost,
            input: event.input,
            output: event.output,
        }
    }
}

impl UsageEvent {
    /// Whether the service has failed at it, or not answered.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.status == 0 || self.status >= 500
    }
}
