//! Calls, as they are exported.

use std::borrow::Cow;
use std::net::IpAddr;

use keyauth_core::{Amount, KeyId, UsageEvent};
use serde::Serialize;

/// One call. The order of its fields is that of the columns.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    at: String,
    tenant: Cow<'a, str>,
    owner: Cow<'a, str>,
    group: Option<Cow<'a, str>>,
    key: KeyId,
    route: Cow<'a, str>,
    resource: Cow<'a, str>,
    status: u16,
    cost: Amount,
    limit_cost: u64,
    input: u64,
    output: u64,
    duration_us: u64,
    address: Option<IpAddr>,
}

impl<'a> Row<'a> {
    /// The names of its fields.
    pub(super) const COLUMNS: [&'static str; 14] = [
        "at",
        "tenant",
        "owner",
        "group",
        "key",
        "route",
        "resource",
        "status",
        "cost",
        "limit_cost",
        "input",
        "output",
        "duration_us",
        "address",
    ];

    /// As it is.
    pub(super) fn exact(event: &'a UsageEvent) -> Self {
        Self::new(event, Cow::Borrowed)
    }

    /// For spreadsheets, which take what begins like a formula for one (CWE-1236): with an
    /// apostrophe before it.
    pub(super) fn for_sheets(event: &'a UsageEvent) -> Self {
        Self::new(event, |text| {
            let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
            if is_formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
        })
    }

    fn new(event: &'a UsageEvent, text: impl Fn(&'a str) -> Cow<'a, str>) -> Self {
        Self {
            at: event.at.to_string(),
            tenant: text(event.tenant.as_str()),
            owner: text(event.owner.as_str()),
            group: event.group.as_ref().map(|group| text(group.as_str())),
            key: event.key,
            route: text(&event.route),
            resource: text(&event.resource),
            status: event.status,
            cost: event.cost,
            limit_cost: event.limit_cost,
            input: event.input,
            output: event.output,
            duration_us: u64::try_from(event.duration.as_micros()).unwrap_or(u64::MAX),
            address: event.address,
        }
    }
}
