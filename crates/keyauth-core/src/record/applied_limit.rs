//! The limits that apply to a key, of all that are set.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Key, Limit, LimitCount, LimitSubject};
use crate::{GroupId, KeyId, OwnerId, TenantId};

/// A limit that applies to a key, and whose use it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedLimit {
    /// The limit.
    pub limit: Limit,
    /// Whose use it counts.
    pub counted: Counted,
}

/// Whose use a limit counts, as seen from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Counted {
    /// The key's own.
    Key,
    /// The owner's, as far as it is in the key's group.
    Member,
    /// The owner's.
    Owner,
    /// The group's.
    Group,
    /// The tenant's.
    Tenant,
}

/// Somebody whose use is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LimitedSubject {
    /// A key.
    Key(TenantId, KeyId),
    /// An owner, as far as its keys are bound to a group.
    Member(TenantId, GroupId, OwnerId),
    /// An owner.
    Owner(TenantId, OwnerId),
    /// A group.
    Group(TenantId, GroupId),
    /// A tenant.
    Tenant(TenantId),
    /// Somebody without a key, by a name of the application's.
    Other(Arc<str>),
}

impl LimitedSubject {
    /// The tenant, where there is one.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Key(tenant, _)
            | Self::Member(tenant, ..)
            | Self::Owner(tenant, _)
            | Self::Group(tenant, _)
            | Self::Tenant(tenant) => Some(tenant),
            Self::Other(_) => None,
        }
    }
}

impl Key {
    /// Somebody whose use counts when this key is used; `None` where the key has no group.
    #[must_use]
    pub fn limited(&self, counted: Counted) -> Option<LimitedSubject> {
        let (tenant, owner) = (|| self.tenant.clone(), || self.owner.clone());
        Some(match counted {
            Counted::Key => LimitedSubject::Key(tenant(), self.id),
            Counted::Member => LimitedSubject::Member(tenant(), self.group.clone()?, owner()),
            Counted::Owner => LimitedSubject::Owner(tenant(), owner()),
            Counted::Group => LimitedSubject::Group(tenant(), self.group.clone()?),
            Counted::Tenant => LimitedSubject::Tenant(tenant()),
        })
    }

    /// The limits that apply to this key, of its own and those of its owner, group and tenant:
    /// for stores, which put them into its record.
    ///
    /// Of those by one name for the same [`per`](Limit::per) the closest one counts. A limit that
    /// is set on a group for each owner counts what the owner does in the group. They come in the
    /// order of whose use they count.
    #[must_use]
    pub fn applied_limits(
        &self,
        owner: &[Limit],
        group: &[Limit],
        tenant: &[Limit],
    ) -> Vec<AppliedLimit> {
        let by_distance = [
            (LimitSubject::Key, self.limits.as_slice()),
            (LimitSubject::Owner, owner),
            (LimitSubject::Group, group),
            (LimitSubject::Tenant, tenant),
        ];
        let mut seen: Vec<(LimitSubject, &str)> = Vec::new();
        let mut applied = Vec::new();
        for (set_on, limits) in by_distance {
            for limit in limits {
                let per = limit.per.unwrap_or(set_on);
                let named = (per, limit.name.as_str());
                let without_group = per == LimitSubject::Group && self.group.is_none();
                if seen.contains(&named) || without_group {
                    continue;
                }
                seen.push(named);
                if limit.count != LimitCount::Unlimited {
                    let counted = match (per, set_on) {
                        (LimitSubject::Key, _) => Counted::Key,
                        (LimitSubject::Owner, LimitSubject::Group) => Counted::Member,
                        (LimitSubject::Owner, _) => Counted::Owner,
                        (LimitSubject::Group, _) => Counted::Group,
                        (LimitSubject::Tenant, _) => Counted::Tenant,
                    };
                    applied.push(AppliedLimit { limit: limit.clone(), counted });
                }
            }
        }
        applied.sort_by_key(|applied| applied.counted);
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Issuer, NewKey};

    fn key(group: Option<&str>, limits: &[Limit]) -> Key {
        let mut new = NewKey::named("any");
        if let Some(group) = group {
            new = new.group(group);
        }
        for limit in limits {
            new = new.limit(limit.clone());
        }
        Issuer::new().draft(new).expect("a key").key
    }

    #[track_caller]
    fn check(applied: &[AppliedLimit], expected: &[(Counted, u64)]) {
        let count = |applied: &AppliedLimit| match applied.limit.count {
            LimitCount::AtMost(count) => (applied.counted, count),
            LimitCount::Unlimited => panic!("what has no bound is no limit"),
        };
        assert_eq!(applied.iter().map(count).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_closest_one_counts_and_caps_always_apply() {
        let plan = [Limit::per_minute(100).for_each(LimitSubject::Owner), Limit::per_minute(1_000)];
        let cap = [Limit::per_minute(9_000)];
        let bound = key(Some("plan"), &[]);
        let default = bound.applied_limits(&[], &plan, &cap);
        let (member, group, tenant) = (Counted::Member, Counted::Group, Counted::Tenant);
        check(&default, &[(member, 100), (group, 1_000), (tenant, 9_000)]);
        // The owner's own takes the place of what the plan gives each owner, and of nothing else.
        let own = [Limit::per_minute(500)];
        let overridden = bound.applied_limits(&own, &plan, &cap);
        check(&overridden, &[(Counted::Owner, 500), (group, 1_000), (tenant, 9_000)]);
        let free = [Limit::per_minute(0).unlimited()];
        check(&bound.applied_limits(&free, &plan, &cap), &[(group, 1_000), (tenant, 9_000)]);
        // By another name it stands beside it.
        let beside = [Limit::per_minute(500).named("own")];
        let beside = bound.applied_limits(&beside, &plan, &cap);
        check(&beside, &[(member, 100), (Counted::Owner, 500), (group, 1_000), (tenant, 9_000)]);
    }

    #[test]
    fn a_keys_own_takes_the_place_of_what_each_key_is_given() {
        let each = [Limit::per_minute(10).for_each(LimitSubject::Key)];
        let (plain, own) = (key(None, &[]), key(None, &[Limit::per_minute(99)]));
        check(&plain.applied_limits(&each, &[], &[]), &[(Counted::Key, 10)]);
        check(&own.applied_limits(&each, &[], &each), &[(Counted::Key, 99)]);
    }

    #[test]
    fn what_is_for_each_group_passes_by_keys_without_one() {
        let each = [Limit::per_minute(10).for_each(LimitSubject::Group)];
        check(&key(None, &[]).applied_limits(&[], &[], &each), &[]);
        let bound = key(Some("plan"), &[]);
        check(&bound.applied_limits(&[], &[], &each), &[(Counted::Group, 10)]);
    }
}
