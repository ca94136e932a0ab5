//! Tenants.

use serde::{Deserialize, Serialize};

use super::{Budget, Limit, LimitSubject, Status, words};
use crate::issue::Fields;
use crate::{InvalidInput, TenantId};

/// A customer of the service, whose owners, groups and keys are nobody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// Whether its keys work.
    pub status: Status,
    /// Whether it may bring keys of its own making.
    pub custom_keys: CustomKeys,
    /// How many keys each of its owners may have, revoked ones aside; any number where `None`. Those
    /// that are there stay when it is lowered.
    #[serde(default)]
    pub max_keys_per_owner: Option<u32>,
    /// How often its keys may be used: all together, unless a limit says each group, owner or
    /// key.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// How much its keys may spend: all together, unless a budget says each group, owner or key.
    #[serde(default)]
    pub budgets: Vec<Budget>,
}

impl Tenant {
    /// An active tenant without custom keys.
    #[must_use]
    pub const fn new(id: TenantId) -> Self {
        Self {
            id,
            status: Status::Active,
            custom_keys: CustomKeys::Refused,
            max_keys_per_owner: None,
            limits: Vec::new(),
            budgets: Vec::new(),
        }
    }

    /// Whether it can be kept: for stores.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`], naming the fields.
    pub fn check(&self) -> Result<(), InvalidInput> {
        Fields::check_terms(LimitSubject::Tenant, &self.limits, &self.budgets)
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
