//! Tenants.

use keyauth_core::{CustomKeys, Patch, Status, Tenant, TenantId, TenantUpdate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BudgetBody, LimitBody, given, patch};
use crate::problem::ApiError;

/// A tenant as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTenant)]
pub(crate) struct TenantBody {
    /// Whether its keys work.
    #[serde(default)]
    #[schema(value_type = String, default = "active", pattern = "^(active|inactive)$")]
    status: Status,
    /// Whether it may bring keys of its own making.
    #[serde(default)]
    #[schema(value_type = String, default = "refused", pattern = "^(refused|allowed)$")]
    custom_keys: CustomKeys,
    /// How many keys each of its owners may have, revoked ones aside; any number where it is
    /// absent.
    #[serde(default)]
    max_keys_per_owner: Option<u32>,
    /// How often its keys may be used.
    #[serde(default)]
    #[schema(max_items = 64)]
    limits: Vec<LimitBody>,
    /// How much its keys may spend.
    #[serde(default)]
    #[schema(max_items = 64)]
    budgets: Vec<BudgetBody>,
}

/// A change to a tenant: what is absent stays as it is, an empty list clears, and so
/// does `null` what need not be there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantUpdate)]
pub(crate) struct TenantUpdateBody {
    /// Whether its keys work.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, pattern = "^(active|inactive)$")]
    status: Option<Status>,
    /// Whether it may bring keys of its own making.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, pattern = "^(refused|allowed)$")]
    custom_keys: Option<CustomKeys>,
    /// How many keys each of its owners may have.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u32>)]
    max_keys_per_owner: Patch<u32>,
    /// Its limits.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<LimitBody>, required = false, max_items = 64)]
    limits: Option<Vec<LimitBody>>,
    /// Its budgets.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<BudgetBody>, required = false, max_items = 64)]
    budgets: Option<Vec<BudgetBody>>,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct TenantView {
    #[schema(value_type = String)]
    id: TenantId,
    #[schema(value_type = String)]
    status: Status,
    #[schema(value_type = String)]
    custom_keys: CustomKeys,
    max_keys_per_owner: Option<u32>,
    limits: Vec<LimitBody>,
    budgets: Vec<BudgetBody>,
}

impl TenantBody {
    pub(crate) fn read(self, id: TenantId) -> Result<Tenant, ApiError> {
        Ok(Tenant {
            id,
            status: self.status,
            custom_keys: self.custom_keys,
            max_keys_per_owner: self.max_keys_per_owner,
            limits: LimitBody::read_all(self.limits)?,
            budgets: BudgetBody::read_all(self.budgets)?,
        })
    }
}

impl TenantUpdateBody {
    pub(crate) fn read(self) -> Result<TenantUpdate, ApiError> {
        Ok(TenantUpdate {
            status: self.status,
            custom_keys: self.custom_keys,
            max_keys_per_owner: self.max_keys_per_owner,
            limits: self.limits.map(LimitBody::read_all).transpose()?,
            budgets: self.budgets.map(BudgetBody::read_all).transpose()?,
        })
    }
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id,
            status: tenant.status,
            custom_keys: tenant.custom_keys,
            max_keys_per_owner: tenant.max_keys_per_owner,
            limits: tenant.limits.iter().map(LimitBody::from).collect(),
            budgets: tenant.budgets.iter().map(BudgetBody::from).collect(),
        }
    }
}
