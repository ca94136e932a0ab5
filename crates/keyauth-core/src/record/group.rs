//! Groups.

use serde::{Deserialize, Serialize};

use super::{Status, words};
use crate::{GroupId, TenantId};

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
}

impl Group {
    /// An active group.
    #[must_use]
    pub const fn new(tenant: TenantId, id: GroupId, kind: GroupKind) -> Self {
        Self { tenant, id, kind, status: Status::Active }
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
