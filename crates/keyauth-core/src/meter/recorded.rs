//! What is recorded of one call.

use std::sync::Arc;
use std::time::Duration;

use crate::{Amount, CallDetails, Clock, KeyRecord, SystemClock, Timestamp, UsageEvent};

/// The longest name of what was called or used, in bytes. Sums have a row for each.
const MAX_NAME: usize = 256;

/// What is known of a call on its way.
#[derive(Debug)]
pub(super) struct Recorded {
    at: Timestamp,
    since: Duration,
    details: CallDetails,
    resource: Arc<str>,
    pub(super) status: u16,
    pub(super) input: u64,
    pub(super) output: u64,
}

impl Recorded {
    pub(super) fn begin(mut details: CallDetails) -> Self {
        details.route = name(&details.route);
        let clock = SystemClock::new();
        let (at, since) = (clock.now(), clock.uptime());
        Self { at, since, details, resource: "".into(), status: 0, input: 0, output: 0 }
    }

    pub(super) fn uses(&mut self, resource: &str) {
        self.resource = name(resource);
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

/// A name as it is recorded: as long as it may be, and without what breaks lines.
fn name(text: &str) -> Arc<str> {
    let within = text.floor_char_boundary(MAX_NAME);
    let text = text.get(..within).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        assert_eq!(&*name("gpt\0-\r\n4"), "gpt-4");
        let long = name(&"\u{e4}".repeat(1_000));
        assert_eq!(long.len(), MAX_NAME);
        assert_eq!(name(&format!("a{}", "\u{e4}".repeat(1_000))).len(), MAX_NAME - 1);
    }
}
