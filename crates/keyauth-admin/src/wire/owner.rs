//! Owners.

use keyauth_core::{Owner, OwnerId, OwnerUpdate, Patch, RateMultiplier, Status, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BudgetBody, LimitBody, given, patch};
use crate::problem::ApiError;

/// An owner as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOwner)]
pub(crate) struct OwnerBody {
    /// Whether its keys work.
    #[serde(default)]
    #[schema(value_type = String, default = "active", pattern = "^(active|inactive)$")]
    status: Status,
    /// How many keys it may have, revoked ones aside; as its tenant says where it is absent.
    #[serde(default)]
    max_keys: Option<u32>,
    /// How often its keys may be used.
    #[serde(default)]
    #[schema(max_items = 64)]
    limits: Vec<LimitBody>,
    /// How much its keys may spend.
    #[serde(default)]
    #[schema(max_items = 64)]
    budgets: Vec<BudgetBody>,
    /// What its keys are charged is multiplied by, whatever their groups say: a decimal above zero
    /// with at most four places.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(0\\.[0-9]{0,3}[1-9]|[1-9][0-9]{0,4}(\\.[0-9]{1,4})?)$")]
    rate_multiplier: Option<RateMultiplier>,
}

/// A change to an owner: what is absent stays as it is, an empty list clears, and so
/// does `null` what need not be there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OwnerUpdate)]
pub(crate) struct OwnerUpdateBody {
    /// Whether its keys work.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, pattern = "^(active|inactive)$")]
    status: Option<Status>,
    /// How many keys it may have.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u32>)]
    max_keys: Patch<u32>,
    /// Its limits.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<LimitBody>, required = false, max_items = 64)]
    limits: Option<Vec<LimitBody>>,
    /// Its budgets.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<BudgetBody>, required = false, max_items = 64)]
    budgets: Option<Vec<BudgetBody>>,
    /// What its keys are charged is multiplied by.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>, pattern = "^(0\\.[0-9]{0,3}[1-9]|[1-9][0-9]{0,4}(\\.[0-9]{1,4})?)$")]
    rate_multiplier: Patch<RateMultiplier>,
}

/// An owner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Owner)]
pub(crate) struct OwnerView {
    #[schema(value_type = String)]
    tenant: TenantId,
    #[schema(value_type = String)]
    id: OwnerId,
    #[schema(value_type = String)]
    status: Status,
    max_keys: Option<u32>,
    limits: Vec<LimitBody>,
    budgets: Vec<BudgetBody>,
    #[schema(value_type = Option<String>)]
    rate_multiplier: Option<RateMultiplier>,
}

impl OwnerBody {
    pub(crate) fn read(self, tenant: TenantId, id: OwnerId) -> Result<Owner, ApiError> {
        Ok(Owner {
            tenant,
            id,
            status: self.status,
            max_keys: self.max_keys,
            limits: LimitBody::read_all(self.limits)?,
            budgets: BudgetBody::read_all(self.budgets)?,
            rate_multiplier: self.rate_multiplier,
        })
    }
}

impl OwnerUpdateBody {
    pub(crate) fn read(self) -> Result<OwnerUpdate, ApiError> {
        Ok(OwnerUpdate {
            status: self.status,
            max_keys: self.max_keys,
            limits: self.limits.map(LimitBody::read_all).transpose()?,
            budgets: self.budgets.map(BudgetBody::read_all).transpose()?,
            rate_multiplier: self.rate_multiplier,
        })
    }
}

impl From<Owner> for OwnerView {
    fn from(owner: Owner) -> Self {
        Self {
            tenant: owner.tenant,
            id: owner.id,
            status: owner.status,
            max_keys: owner.max_keys,
            limits: owner.limits.iter().map(LimitBody::from).collect(),
            budgets: owner.budgets.iter().map(BudgetBody::from).collect(),
            rate_multiplier: owner.rate_multiplier,
        }
    }
}
