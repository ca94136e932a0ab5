//! Owners.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::{OwnerId, TenantId};

/// A person or service that keys speak for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name within the tenant.
    pub id: OwnerId,
    /// Whether its keys work.
    pub status: Status,
}

impl Owner {
    /// An active owner.
    #[must_use]
    pub const fn new(tenant: TenantId, id: OwnerId) -> Self {
        Self { tenant, id, status: Status::Active }
    }
}
