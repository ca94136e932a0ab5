//! Calls, as they are exported.

use std::borrow::Cow;
use std::net::IpAddr;

use keyauth_core::{Amount, KeyId, UsageEvent};
use serde::Serialize;

/// What is told of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// To whoever holds the key: what was called, and what it came to.
    Own,
    /// To operators: whose calls they are as well.
    All,
}

/// Whose call it is. The order of the fields is that of the columns.
#[derive(Debug, Serialize)]
pub(super) struct Whose<'a> {
    tenant: Cow<'a, str>,
    owner: Cow<'a, str>,
    group: Option<Cow<'a, str>>,
    key: KeyId,
}

/// The call.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    at: String,
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

impl Columns {
    /// Their names.
    pub(super) const fn names(self) -> &'static str {
        match self {
            Self::Own => {
                "at,route,resource,status,cost,limit_cost,input,output,duration_us,address"
            }
            Self::All => {
                "tenant,owner,group,key,\
                 at,route,resource,status,cost,limit_cost,input,output,duration_us,address"
            }
        }
    }
}

impl<'a> Whose<'a> {
    pub(super) fn of(event: &'a UsageEvent, text: fn(&'a str) -> Cow<'a, str>) -> Self {
        Self {
            tenant: text(event.tenant.as_str()),
            owner: text(event.owner.as_str()),
            group: event.group.as_ref().map(|group| text(group.as_str())),
            key: event.key,
        }
    }
}

impl<'a> Call<'a> {
    pub(super) fn of(event: &'a UsageEvent, text: fn(&'a str) -> Cow<'a, str>) -> Self {
        Self {
            at: event.at.to_string(),
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

/// A text for spreadsheets, which take what begins like a formula for one (CWE-1236): with an
/// apostrophe before it.
pub(super) fn for_sheets(text: &str) -> Cow<'_, str> {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}
