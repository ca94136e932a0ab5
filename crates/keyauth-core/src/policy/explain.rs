//! Why a request is let through, or is not: all answers, and not only the first no.

use std::ops::ControlFlow;

use super::admit::ask;
use super::{Denial, RequestFacts};
use crate::record::words;
use crate::{KeyRecord, Timestamp};

/// A question about a key's record, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Station {
    /// Is the key active?
    Status,
    /// Is its owner?
    Owner,
    /// Is its tenant?
    Tenant,
    /// Is its group, if it has one, and may its owner use that?
    Group,
    /// Are the key and the presented secret not over yet?
    Expiry,
    /// Has it begun?
    Start,
    /// May it be used from where the request comes?
    Address,
    /// On this endpoint?
    Endpoint,
    /// With this resource?
    Resource,
    /// Has it the scopes that are asked for?
    Scopes,
}

words!(Station {
    Status => "status",
    Owner => "owner",
    Tenant => "tenant",
    Group => "group",
    Expiry => "expiry",
    Start => "start",
    Address => "address",
    Endpoint => "endpoint",
    Resource => "resource",
    Scopes => "scopes",
});

/// What one station says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StationVerdict {
    /// Which.
    pub station: Station,
    /// Its no; `None` where it lets the request pass.
    pub denial: Option<Denial>,
}

/// What every station says to a request, in the order they are asked. By the same questions as
/// [`admit`](crate::admit), so the first no of these is its answer.
///
/// Pure, like it; for those who must say why, and not for requests.
#[must_use]
pub fn explain(
    record: &KeyRecord,
    facts: &RequestFacts<'_>,
    now: Timestamp,
) -> Vec<StationVerdict> {
    let mut verdicts = Vec::new();
    let all = ask(
        record,
        facts,
        || now,
        |station, answer| {
            verdicts.push(StationVerdict { station, denial: answer.err() });
            ControlFlow::<()>::Continue(())
        },
    );
    debug_assert!(all.is_continue(), "nothing has stopped it");
    verdicts
}
