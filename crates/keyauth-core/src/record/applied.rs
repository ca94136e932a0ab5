//! The limits and budgets that apply to a key, of all that are set.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Budget, Key, Limit, LimitCount, LimitSubject};
use crate::{GroupId, KeyId, OwnerId, TenantId};

/// A limit that applies to a key, and whose use it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedLimit {
    /// The limit.
    pub limit: Limit,
    /// Whose use it counts.
    pub counted: Counted,
}

/// A budget that a key's use is charged to, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedBudget {
    /// The budget.
    pub budget: Budget,
    /// Whose use it bounds.
    pub counted: Counted,
}

/// Whose use a limit or budget counts, as seen from a key.
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

    /// The key, where it is one.
    #[must_use]
    pub const fn key(&self) -> Option<KeyId> {
        match self {
            Self::Key(_, key) => Some(*key),
            _ => None,
        }
    }

    /// The owner, where it is one, within a group or not.
    #[must_use]
    pub const fn owner(&self) -> Option<&OwnerId> {
        match self {
            Self::Member(_, _, owner) | Self::Owner(_, owner) => Some(owner),
            _ => None,
        }
    }

    /// The group, where it is one or somebody in it.
    #[must_use]
    pub const fn group(&self) -> Option<&GroupId> {
        match self {
            Self::Member(_, group, _) | Self::Group(_, group) => Some(group),
            _ => None,
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
    /// Of those by one name for the same [`per`](field@Limit::per) the closest one counts. A limit that
    /// is set on a group for each owner counts what the owner does in the group. They come in the
    /// order of whose use they count.
    #[must_use]
    pub fn applied_limits(
        &self,
        owner: &[Limit],
        group: &[Limit],
        tenant: &[Limit],
    ) -> Box<[AppliedLimit]> {
        let applied = self.applied([&self.limits, owner, group, tenant]).into_iter();
        let bounded = applied.filter(|(limit, _)| limit.count != LimitCount::Unlimited);
        bounded.map(|(limit, counted)| AppliedLimit { limit: limit.clone(), counted }).collect()
    }

    /// The budgets that its use is charged to, by the same rules.
    #[must_use]
    pub fn applied_budgets(
        &self,
        owner: &[Budget],
        group: &[Budget],
        tenant: &[Budget],
    ) -> Box<[AppliedBudget]> {
        let applied = self.applied([&self.budgets, owner, group, tenant]).into_iter();
        applied.map(|(budget, counted)| AppliedBudget { budget: budget.clone(), counted }).collect()
    }

    /// What applies, of what the key, its owner, its group and its tenant say.
    fn applied<'t, T: Term>(&self, terms: [&'t [T]; 4]) -> Vec<(&'t T, Counted)> {
        let mut seen: Vec<(LimitSubject, &str)> = Vec::new();
        let mut applied = Vec::new();
        for (set_on, terms) in BY_DISTANCE.into_iter().zip(terms) {
            for term in terms {
                let per = term.per().unwrap_or(set_on);
                let named = (per, term.name());
                let without_group = per == LimitSubject::Group && self.group.is_none();
                if seen.contains(&named) || without_group {
                    continue;
                }
                seen.push(named);
                let counted = match (per, set_on) {
                    (LimitSubject::Key, _) => Counted::Key,
                    (LimitSubject::Owner, LimitSubject::Group) => Counted::Member,
                    (LimitSubject::Owner, _) => Counted::Owner,
                    (LimitSubject::Group, _) => Counted::Group,
                    (LimitSubject::Tenant, _) => Counted::Tenant,
                };
                applied.push((term, counted));
            }
        }
        applied.sort_by_key(|(_, counted)| *counted);
        applied
    }
}

/// Who sets terms, from the key outwards.
const BY_DISTANCE: [LimitSubject; 4] =
    [LimitSubject::Key, LimitSubject::Owner, LimitSubject::Group, LimitSubject::Tenant];

/// What is set on one of those, by a name.
trait Term {
    fn name(&self) -> &str;

    fn per(&self) -> Option<LimitSubject>;
}

impl Term for Limit {
    fn name(&self) -> &str {
        &self.name
    }

    fn per(&self) -> Option<LimitSubject> {
        self.per
    }
}

impl Term for Budget {
    fn name(&self) -> &str {
        &self.name
    }

    fn per(&self) -> Option<LimitSubject> {
        self.per
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
    fn budgets_follow_the_same_rules() {
        let units = |units| crate::Amount::from_units(units).expect("an amount");
        let day = |limit| Budget::new(units(limit), crate::BudgetWindow::Day);
        let plan = [day(10).for_each(LimitSubject::Owner), day(100)];
        let bound = key(Some("plan"), &[]);
        let amounts = |applied: Box<[AppliedBudget]>| {
            let amount = |applied: AppliedBudget| (applied.counted, applied.budget.limit);
            applied.into_iter().map(amount).collect::<Vec<_>>()
        };
        let default = [(Counted::Member, units(10)), (Counted::Group, units(100))];
        assert_eq!(amounts(bound.applied_budgets(&[], &plan, &[])), default);
        // Nothing is without bounds that is not charged all the same.
        let free = [day(0).unlimited()];
        let overridden = [(Counted::Owner, crate::Amount::MAX), (Counted::Group, units(100))];
        assert_eq!(amounts(bound.applied_budgets(&free, &plan, &[])), overridden);
    }

    #[test]
    fn what_is_for_each_group_passes_by_keys_without_one() {
        let each = [Limit::per_minute(10).for_each(LimitSubject::Group)];
        check(&key(None, &[]).applied_limits(&[], &[], &each), &[]);
        let bound = key(Some("plan"), &[]);
        check(&bound.applied_limits(&[], &[], &each), &[(Counted::Group, 10)]);
    }
}
