//! Groups.

use serde::{Deserialize, Serialize};

use super::{Budget, Limit, LimitSubject, RateMultiplier, Status, words};
use crate::issue::Fields;
use crate::{GroupId, InvalidInput, TenantId};

/// A plan, a team, a set of rules that keys are bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name within the tenant.
    pub id: GroupId,
    /// Who may use it.
    pub kind: GroupKind,
    /// Whether keys bound to it work.
    pub status: Status,
    /// How often keys bound to it may be used: all together, unless a limit says each owner or
    /// key.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// How much keys bound to it may spend: all together, unless a budget says each owner or key.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    /// What keys bound to it are charged is multiplied by.
    #[serde(default)]
    pub rate_multiplier: RateMultiplier,
}

impl Group {
    /// An active group.
    #[must_use]
    pub const fn new(tenant: TenantId, id: GroupId, kind: GroupKind) -> Self {
        Self {
            tenant,
            id,
            kind,
            status: Status::Active,
            limits: Vec::new(),
            budgets: Vec::new(),
            rate_multiplier: RateMultiplier::ONE,
        }
    }

    /// Whether it can be kept: for stores.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`], naming the fields.
    pub fn check(&self) -> Result<(), InvalidInput> {
        Fields::check_terms(LimitSubject::Group, &self.limits, &self.budgets)
    }
}

/// Who may use a group. Decided anew at each request, not only when a key is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupKind {
    /// Every owner of the tenant.
    #[default]
    Standard,
    /// Owners on the group's list.
    Exclusive,
    /// Owners whose subscription is active.
    Subscription,
}

words!(GroupKind {
    Standard => "standard",
    Exclusive => "exclusive",
    Subscription => "subscription",
});
