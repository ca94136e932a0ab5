//! Whose limits, budgets and usage are meant.

use keyauth_core::{
    Budget, ChargedBudget, Counted, GroupId, KeyId, KeyRecord, Limit, LimitSubject, Limited,
    LimitedSubject, OwnerId, Problem,
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

use super::Acting;
use super::scope::Needs;
use crate::problem::ApiError;

/// Whose: a key's, an owner's or a group's; an owner's as far as its keys are bound to a group, with
/// both; the tenant's with none.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SubjectParams {
    /// Of this key.
    #[param(format = "uuid")]
    key: Option<String>,
    /// Of this owner.
    #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    owner: Option<String>,
    /// Of this group.
    #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    group: Option<String>,
    /// Which tenant.
    #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    #[expect(dead_code, reason = "read where it decides")]
    tenant: Option<String>,
}

/// The same, understood.
#[derive(Debug)]
pub(super) enum Whose {
    Key(KeyId),
    Member(GroupId, OwnerId),
    Owner(OwnerId),
    Group(GroupId),
    Tenant,
}

/// What is set on somebody, and counts that one's own use.
pub(super) enum Terms {
    /// Of a key, by its record, with all that it belongs to; none where it was never presented.
    Key(Option<Arc<KeyRecord>>),
    /// Of anybody else.
    Other(LimitedSubject, Vec<Limit>, Vec<Budget>),
}

impl SubjectParams {
    pub(super) fn read(self) -> Result<Whose, ApiError> {
        let problem = |name, error: keyauth_core::InvalidId| Problem::new(name, error.to_string());
        let key = self.key.map(|text| text.parse()).transpose();
        let key = key.map_err(|_| Problem::new("key", "must be a UUID"))?;
        let owner = self.owner.map(OwnerId::new).transpose();
        let owner = owner.map_err(|error| problem("owner", error))?;
        let group = self.group.map(GroupId::new).transpose();
        let group = group.map_err(|error| problem("group", error))?;
        match (key, group, owner) {
            (Some(key), None, None) => Ok(Whose::Key(key)),
            (Some(_), ..) => Err(Problem::new("key", "cannot be beside an owner or group").into()),
            (None, Some(group), Some(owner)) => Ok(Whose::Member(group, owner)),
            (None, None, Some(owner)) => Ok(Whose::Owner(owner)),
            (None, Some(group), None) => Ok(Whose::Group(group)),
            (None, None, None) => Ok(Whose::Tenant),
        }
    }
}

impl Whose {
    /// In the tenant that is meant.
    pub(super) fn subject<N: Needs>(&self, acting: &Acting<N>) -> LimitedSubject {
        let tenant = acting.tenant.clone();
        match self {
            Self::Key(key) => LimitedSubject::Key(tenant, *key),
            Self::Member(group, owner) => {
                LimitedSubject::Member(tenant, group.clone(), owner.clone())
            }
            Self::Owner(owner) => LimitedSubject::Owner(tenant, owner.clone()),
            Self::Group(group) => LimitedSubject::Group(tenant, group.clone()),
            Self::Tenant => LimitedSubject::Tenant(tenant),
        }
    }

    /// Whose use its limits count; those of a key count that of several.
    pub(super) const fn counted(&self) -> Option<Counted> {
        match self {
            Self::Key(_) => None,
            Self::Member(..) => Some(Counted::Member),
            Self::Owner(_) => Some(Counted::Owner),
            Self::Group(_) => Some(Counted::Group),
            Self::Tenant => Some(Counted::Tenant),
        }
    }

    /// What is set on a tenant is not for those who act in it alone to forgive.
    pub(super) fn require_right<N: Needs>(&self, acting: &Acting<N>) -> Result<(), ApiError> {
        match self {
            Self::Tenant => acting.require_all_tenants(),
            _ => Ok(()),
        }
    }

    /// What is set on it.
    pub(super) async fn terms<N: Needs>(&self, acting: &Acting<N>) -> Result<Terms, ApiError> {
        let (store, tenant) = (&acting.store, || acting.tenant.clone());
        let subject = self.subject(acting);
        // Set on whom, the closest first, and what of that counts the use of this one.
        let (kind, sets) = match self {
            Self::Key(key) => return Ok(Terms::Key(store.record(acting.key(*key)).await?)),
            Self::Member(group, owner) => {
                store.owner(tenant(), owner.clone()).await?;
                let group = store.group(tenant(), group.clone()).await?;
                (LimitSubject::Owner, vec![(LimitSubject::Group, group.limits, group.budgets)])
            }
            Self::Owner(owner) => {
                let owner = store.owner(tenant(), owner.clone()).await?;
                let of_all = store.tenant(tenant()).await?;
                let sets = vec![
                    (LimitSubject::Owner, owner.limits, owner.budgets),
                    (LimitSubject::Tenant, of_all.limits, of_all.budgets),
                ];
                (LimitSubject::Owner, sets)
            }
            Self::Group(group) => {
                let group = store.group(tenant(), group.clone()).await?;
                let of_all = store.tenant(tenant()).await?;
                let sets = vec![
                    (LimitSubject::Group, group.limits, group.budgets),
                    (LimitSubject::Tenant, of_all.limits, of_all.budgets),
                ];
                (LimitSubject::Group, sets)
            }
            Self::Tenant => {
                let of_all = store.tenant(tenant()).await?;
                (LimitSubject::Tenant, vec![(LimitSubject::Tenant, of_all.limits, of_all.budgets)])
            }
        };
        let (mut limits, mut budgets) = (Vec::<Limit>::new(), Vec::<Budget>::new());
        for (set_on, more_limits, more_budgets) in sets {
            let own = |per: Option<LimitSubject>| per.unwrap_or(set_on) == kind;
            for limit in more_limits {
                if own(limit.per) && limits.iter().all(|closer| closer.name != limit.name) {
                    limits.push(limit);
                }
            }
            for budget in more_budgets {
                if own(budget.per) && budgets.iter().all(|closer| closer.name != budget.name) {
                    budgets.push(budget);
                }
            }
        }
        Ok(Terms::Other(subject, limits, budgets))
    }
}

impl Terms {
    /// The limits, and whose they are; nothing where there are none.
    pub(super) fn limited(self) -> Option<Limited> {
        match self {
            Self::Key(record) => record.map(Limited::Key),
            Self::Other(subject, limits, _) => {
                // They count this one's use, whatever they are set on.
                let limits = limits.into_iter().map(|limit| Limit { per: None, ..limit });
                Some(Limited::alone(subject, limits))
            }
        }
    }

    /// The budgets that its use is charged to.
    pub(super) fn budgets(&self) -> Vec<ChargedBudget> {
        match self {
            Self::Key(record) => {
                record.as_ref().map(|record| record.charged_budgets()).unwrap_or_default()
            }
            Self::Other(subject, _, budgets) => {
                let charged = |budget: &Budget| ChargedBudget {
                    subject: subject.clone(),
                    budget: budget.clone(),
                };
                budgets.iter().map(charged).collect()
            }
        }
    }

    /// The one of that name that is its own.
    pub(super) fn own_budget(&self, name: &str) -> Result<ChargedBudget, ApiError> {
        let own = match self {
            Self::Key(Some(record)) => {
                let mut own = record.budgets.iter().zip(record.charged_budgets());
                let is_it = |(applied, _): &(&keyauth_core::AppliedBudget, _)| {
                    applied.counted == Counted::Key && applied.budget.name == name
                };
                own.find(is_it).map(|(_, charged)| charged)
            }
            _ => self.budgets().into_iter().find(|charged| charged.budget.name == name),
        };
        own.ok_or(ApiError::NotFound)
    }
}
