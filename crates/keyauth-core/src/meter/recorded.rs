//! What is recorded of one call.

use std::sync::Arc;
use std::time::Duration;

use crate::{Amount, CallDetails, Clock, KeyRecord, SystemClock, Timestamp, UsageEvent};

/// What is known of a call on its way.
#[derive(Debug)]
pub(super) struct Recorded {
    at: Timestamp,
    since: Duration,
    details: CallDetails,
    pub(super) resource: Arc<str>,
    pub(super) status: u16,
    pub(super) input: u64,
    pub(super) output: u64,
}

impl Recorded {
    pub(super) fn begin(details: CallDetails) -> Self {
        let clock = SystemClock::new();
        let (at, since) = (clock.now(), clock.uptime());
        Self { at, since, details, resource: "".into(), status: 0, input: 0, output: 0 }
    }

    /// The event of a call that has ended, and came to so much.
    pub(super) fn end(self, record: &KeyRecord, cost: Amount) -> UsageEvent {
        let key = &record.key;
        let CallDetails { route, address, limit_cost } = self.details;
        UsageEvent {
            at: self.at,
            tenant: key.tenant.clone(),
            owner: key.owner.clone(),
            group: key.group.clone(),
            key: key.id,
            route,
            resource: self.resource,
            status: self.status,
            cost,
            limit_cost,
            input: self.input,
            output: self.output,
            duration: SystemClock::new().uptime().saturating_sub(self.since),
            address,
        }
    }
}
