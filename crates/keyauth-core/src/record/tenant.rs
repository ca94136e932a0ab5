//! Tenants.

use serde::{Deserialize, Serialize};

use super::{Status, words};
use crate::TenantId;

/// A customer of the service, whose owners, groups and keys are nobody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// Whether its keys work.
    pub status: Status,
    /// Whether it may bring keys of its own making.
    pub custom_keys: CustomKeys,
}

impl Tenant {
    /// An active tenant without custom keys.
    #[must_use]
    pub const fn new(id: TenantId) -> Self {
        Self { id, status: Status::Active, custom_keys: CustomKeys::Refused }
    }
}

/// Whether custom keys can be issued for a tenant.
///
/// The [`Keyring`](crate::Keyring) must accept them too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CustomKeys {
    /// Only generated keys.
    #[default]
    Refused,
    /// Custom keys too.
    Allowed,
}

words!(CustomKeys { Refused => "refused", Allowed => "allowed" });
