//! The decision about a key that was found.

use std::ops::ControlFlow::{self, Break, Continue};

use super::{Denial, RequestFacts, Station};
use crate::rule::is_ambiguous;
use crate::{KeyRecord, KeyStatus, Status, Timestamp};

/// Judges a request by its key's record, the facts it brought, and the time.
///
/// Pure: no I/O, no clock, no allocation. The order decides which reason is told when
/// several apply: first what the key is, then whom it belongs to, then its time, then
/// where it is used and what for. Both ends of every span of time are alike: it begins at
/// its first instant and is over at its last.
///
/// # Errors
///
/// The [`Denial`], where the request is not let through.
///
/// # Example
///
/// ```
/// use keyauth_core::{Denial, RequestFacts, Scope, Timestamp, admit};
/// # fn try_main(record: &keyauth_core::KeyRecord) -> Result<(), Box<dyn std::error::Error>> {
///
/// let needed = [Scope::new("reports:read")?];
/// let facts = RequestFacts::new().with_scopes(&needed);
/// assert_eq!(admit(record, &facts, Timestamp::from_unix_seconds(0)), Err(Denial::ScopeDenied));
/// # Ok(())
/// # }
/// ```
pub fn admit(record: &KeyRecord, facts: &RequestFacts<'_>, now: Timestamp) -> Result<(), Denial> {
    admit_at(record, facts, || now)
}

/// The same, and looks at the clock only where a span of time is asked about.
pub(crate) fn admit_at(
    record: &KeyRecord,
    facts: &RequestFacts<'_>,
    now: impl Fn() -> Timestamp,
) -> Result<(), Denial> {
    match ask(record, facts, now, |_, answer| answer.map_or_else(Break, Continue)) {
        Continue(()) => Ok(()),
        Break(denial) => Err(denial),
    }
}

/// Asks every question there is about a key's record, in order, for as long as it goes on: the one
/// list of them, which deciding and explaining share.
#[inline]
pub(super) fn ask<B>(
    record: &KeyRecord,
    facts: &RequestFacts<'_>,
    now: impl Fn() -> Timestamp,
    mut answered: impl FnMut(Station, Result<(), Denial>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let key = &record.key;
    answered(Station::Status, status(key.status))?;
    answered(Station::Owner, demand(record.owner == Status::Active, Denial::OwnerInactive))?;
    answered(Station::Tenant, demand(record.tenant == Status::Active, Denial::TenantInactive))?;
    answered(Station::Group, group(record, &now))?;
    let ends = [record.secret_ends_at, key.expires_at];
    let lives = ends.iter().flatten().all(|end| now() < *end);
    answered(Station::Expiry, demand(lives, Denial::KeyExpired))?;
    let begun = key.starts_at.is_none_or(|start| start <= now());
    answered(Station::Start, demand(begun, Denial::KeyNotYetValid))?;
    let from = key.addresses.admit(facts.address);
    answered(Station::Address, demand(from, Denial::AddressDenied))?;
    answered(Station::Endpoint, endpoint(record, facts))?;
    // A request about no resource is none that resource rules speak of.
    let about = facts.resource.is_none_or(|name| key.resources.admit(name));
    answered(Station::Resource, demand(about, Denial::ResourceDenied))?;
    answered(Station::Scopes, demand(key.scopes.contains_all(facts.scopes), Denial::ScopeDenied))
}

fn status(status: KeyStatus) -> Result<(), Denial> {
    match status {
        KeyStatus::Active => Ok(()),
        KeyStatus::Disabled => Err(Denial::KeyDisabled),
        KeyStatus::Revoked => Err(Denial::KeyRevoked),
    }
}

fn group(record: &KeyRecord, now: impl Fn() -> Timestamp) -> Result<(), Denial> {
    match (&record.key.group, &record.group) {
        (None, _) => Ok(()),
        (Some(_), Some(group)) => {
            demand(group.status == Status::Active, Denial::GroupInactive)?;
            group.admit_owner(now())
        }
        // A key is bound to a group of which nothing is known.
        (Some(_), None) => Err(Denial::GroupInactive),
    }
}

fn endpoint(record: &KeyRecord, facts: &RequestFacts<'_>) -> Result<(), Denial> {
    let endpoints = &record.key.endpoints;
    if endpoints.is_empty() {
        return Ok(());
    }
    let (method, path) = facts.endpoint.ok_or(Denial::EndpointDenied)?;
    demand(!is_ambiguous(path), Denial::InvalidRequest)?;
    demand(endpoints.admit(method, path), Denial::EndpointDenied)
}

fn demand(holds: bool, otherwise: Denial) -> Result<(), Denial> {
    if holds { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AddressSet, EndpointRules, GroupAccess, GroupId, GroupKind, KeyId, ResourceRules, Scope,
        SecretId, Subscription, Versions,
    };

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);
    const BEFORE: Timestamp = Timestamp::from_unix_seconds(999);
    const AFTER: Timestamp = Timestamp::from_unix_seconds(1_001);

    fn record() -> KeyRecord {
        let issuer = crate::Issuer::at(NOW);
        let draft = issuer.draft(crate::NewKey::named("test")).expect("a valid key");
        KeyRecord {
            key: draft.key,
            secret: SecretId::from_bytes([1; 16]),
            secret_ends_at: None,
            tenant: Status::Active,
            owner: Status::Active,
            group: None,
            limits: Box::default(),
            budgets: Box::default(),
            rate_multiplier: crate::RateMultiplier::ONE,
            versions: Versions::default(),
            memo: crate::Memo::default(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut KeyRecord), expected: Result<(), Denial>) {
        check_facts(change, &RequestFacts::new(), expected);
    }

    #[track_caller]
    fn check_facts(
        change: impl FnOnce(&mut KeyRecord),
        facts: &RequestFacts<'_>,
        expected: Result<(), Denial>,
    ) {
        let mut record = record();
        change(&mut record);
        assert_eq!(admit(&record, facts, NOW), expected);
    }

    #[test]
    fn a_plain_key_is_admitted() {
        check(|_| {}, Ok(()));
        assert_ne!(record().key.id, KeyId::from_bytes([0; 16]));
    }

    #[test]
    fn what_the_key_is_comes_first() {
        // S1
        let all = |record: &mut KeyRecord| {
            record.owner = Status::Inactive;
            record.tenant = Status::Inactive;
            record.key.expires_at = Some(BEFORE);
        };
        check(
            |r| {
                all(r);
                r.key.status = KeyStatus::Disabled
            },
            Err(Denial::KeyDisabled),
        );
        check(
            |r| {
                all(r);
                r.key.status = KeyStatus::Revoked
            },
            Err(Denial::KeyRevoked),
        );
        check(all, Err(Denial::OwnerInactive));
        check(
            |r| {
                all(r);
                r.owner = Status::Active
            },
            Err(Denial::TenantInactive),
        );
    }

    #[test]
    fn expiry_is_exclusive() {
        // S2, S3
        check(|r| r.key.expires_at = Some(AFTER), Ok(()));
        check(|r| r.key.expires_at = Some(NOW), Err(Denial::KeyExpired));
        check(|r| r.secret_ends_at = Some(AFTER), Ok(()));
        check(|r| r.secret_ends_at = Some(NOW), Err(Denial::KeyExpired));
        check(|r| r.key.starts_at = Some(NOW), Ok(()));
        check(|r| r.key.starts_at = Some(AFTER), Err(Denial::KeyNotYetValid));
    }

    #[test]
    fn groups_decide_by_kind() {
        let group = |kind, member, subscription| {
            move |record: &mut KeyRecord| {
                let status = Status::Active;
                record.key.group = GroupId::new("plan").ok();
                record.group = Some(GroupAccess { status, kind, member, subscription });
            }
        };
        check(group(GroupKind::Standard, false, None), Ok(()));
        check(group(GroupKind::Exclusive, true, None), Ok(()));
        check(group(GroupKind::Exclusive, false, None), Err(Denial::GroupDenied));
        let kind = GroupKind::Subscription;
        check(group(kind, true, None), Err(Denial::SubscriptionRequired));
        check(group(kind, false, Some(Subscription::open_ended())), Ok(()));
        check(group(kind, false, Some(Subscription::until(AFTER))), Ok(()));
        check(
            group(kind, false, Some(Subscription::until(NOW))),
            Err(Denial::SubscriptionRequired),
        );
        let cancelled = Subscription { status: Status::Inactive, ends_at: None };
        check(group(kind, false, Some(cancelled)), Err(Denial::SubscriptionRequired));
        let inactive = |record: &mut KeyRecord| {
            group(GroupKind::Standard, true, None)(record);
            if let Some(group) = &mut record.group {
                group.status = Status::Inactive;
            }
        };
        check(inactive, Err(Denial::GroupInactive));
        check(|r| r.key.group = GroupId::new("gone").ok(), Err(Denial::GroupInactive));
    }

    #[test]
    fn rules_ask_for_facts() {
        let rule = |record: &mut KeyRecord| {
            record.key.addresses.allow = AddressSet::from_stored(["192.0.2.1"])
        };
        check(rule, Err(Denial::AddressDenied));
        let here = RequestFacts::new().with_address([192, 0, 2, 1].into());
        check_facts(rule, &here, Ok(()));

        let rule = |record: &mut KeyRecord| {
            record.key.endpoints = EndpointRules::from(vec!["/a".to_owned()])
        };
        check(rule, Err(Denial::EndpointDenied));
        check_facts(rule, &RequestFacts::new().with_endpoint("GET", "/a"), Ok(()));
        check_facts(
            rule,
            &RequestFacts::new().with_endpoint("GET", "/b"),
            Err(Denial::EndpointDenied),
        );
        let ambiguous = RequestFacts::new().with_endpoint("GET", "/b/../a");
        check_facts(rule, &ambiguous, Err(Denial::InvalidRequest));
        check_facts(|_| {}, &ambiguous, Ok(()));

        let rule = |record: &mut KeyRecord| {
            record.key.resources = ResourceRules::from_stored(vec!["a".into()])
        };
        check(rule, Ok(()));
        check_facts(rule, &RequestFacts::new().with_resource("b"), Err(Denial::ResourceDenied));

        let needed = [Scope::new("read").expect("a scope")];
        let facts = RequestFacts::new().with_scopes(&needed);
        check_facts(|_| {}, &facts, Err(Denial::ScopeDenied));
        check_facts(|r| r.key.scopes = needed.iter().cloned().collect(), &facts, Ok(()));
    }
}
