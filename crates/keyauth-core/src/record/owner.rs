//! Owners.

use serde::{Deserialize, Serialize};

use super::{Budget, Limit, LimitSubject, RateMultiplier, Status};
use crate::issue::Fields;
use crate::{InvalidInput, OwnerId, TenantId};

/// A person or service that keys speak for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name within the tenant.
    pub id: OwnerId,
    /// Whether its keys work.
    pub status: Status,
    /// How many keys it may have, revoked ones aside; as many as its tenant says where `None`.
    #[serde(default)]
    pub max_keys: Option<u32>,
    /// How often its keys may be used: all together, unless a limit says each.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// How much its keys may spend: all together, unless a budget says each.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    /// What its keys are charged is multiplied by, whatever their groups say.
    #[serde(default)]
    pub rate_multiplier: Option<RateMultiplier>,
}

impl Owner {
    /// An active owner.
    #[must_use]
    pub const fn new(tenant: TenantId, id: OwnerId) -> Self {
        Self {
            tenant,
            id,
            status: Status::Active,
            max_keys: None,
            limits: Vec::new(),
            budgets: Vec::new(),
            rate_multiplier: None,
        }
    }

    /// Whether it can be kept: for stores.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`], naming the fields.
    pub fn check(&self) -> Result<(), InvalidInput> {
        Fields::check_terms(LimitSubject::Owner, &self.limits, &self.budgets)
    }
}
