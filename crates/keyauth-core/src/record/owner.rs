//! Owners.

use serde::{Deserialize, Serialize};

use super::{Limit, LimitSubject, Status};
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
    /// How often its keys may be used: all together, unless a limit says each.
    #[serde(default)]
    pub limits: Vec<Limit>,
}

impl Owner {
    /// An active owner.
    #[must_use]
    pub const fn new(tenant: TenantId, id: OwnerId) -> Self {
        Self { tenant, id, status: Status::Active, limits: Vec::new() }
    }

    /// Whether it can be kept: for stores.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`], naming the fields.
    pub fn check(&self) -> Result<(), InvalidInput> {
        Fields::check_limits(LimitSubject::Owner, &self.limits)
    }
}
