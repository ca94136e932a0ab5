//! Groups, and who has subscribed to them.

use keyauth_core::{
    Group, GroupId, GroupKind, GroupUpdate, OwnerId, RateMultiplier, Status, Subscription,
    TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BudgetBody, LimitBody, Text, given};
use crate::problem::ApiError;

/// A group as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGroup)]
pub(crate) struct GroupBody {
    /// Who may use it: every owner, those on its list, or those whose subscription is active.
    #[serde(default)]
    #[schema(
        value_type = String,
        default = "standard",
        pattern = "^(standard|exclusive|subscription)$"
    )]
    kind: GroupKind,
    /// Whether keys bound to it work.
    #[serde(default)]
    #[schema(value_type = String, default = "active", pattern = "^(active|inactive)$")]
    status: Status,
    /// How often keys bound to it may be used.
    #[serde(default)]
    #[schema(max_items = 64)]
    limits: Vec<LimitBody>,
    /// How much keys bound to it may spend.
    #[serde(default)]
    #[schema(max_items = 64)]
    budgets: Vec<BudgetBody>,
    /// What keys bound to it are charged is multiplied by: a decimal above zero with at most four
    /// places.
    #[serde(default)]
    #[schema(
        value_type = String,
        default = "1",
        pattern = "^(0\\.[0-9]{0,3}[1-9]|[1-9][0-9]{0,4}(\\.[0-9]{1,4})?)$"
    )]
    rate_multiplier: RateMultiplier,
}

/// A change to a group: what is absent stays as it is, an empty list clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GroupUpdate)]
pub(crate) struct GroupUpdateBody {
    /// Who may use it. Keys that are bound to it stay so, and are refused where their owner may
    /// not.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, pattern = "^(standard|exclusive|subscription)$")]
    kind: Option<GroupKind>,
    /// Whether keys bound to it work.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, pattern = "^(active|inactive)$")]
    status: Option<Status>,
    /// Its limits.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<LimitBody>, required = false, max_items = 64)]
    limits: Option<Vec<LimitBody>>,
    /// Its budgets.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<BudgetBody>, required = false, max_items = 64)]
    budgets: Option<Vec<BudgetBody>>,
    /// What keys bound to it are charged is multiplied by.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, pattern = "^(0\\.[0-9]{0,3}[1-9]|[1-9][0-9]{0,4}(\\.[0-9]{1,4})?)$")]
    rate_multiplier: Option<RateMultiplier>,
}

/// A group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupView {
    #[schema(value_type = String)]
    tenant: TenantId,
    #[schema(value_type = String)]
    id: GroupId,
    #[schema(value_type = String)]
    kind: GroupKind,
    #[schema(value_type = String)]
    status: Status,
    limits: Vec<LimitBody>,
    budgets: Vec<BudgetBody>,
    #[schema(value_type = String)]
    rate_multiplier: RateMultiplier,
}

/// A subscription as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSubscription)]
pub(crate) struct SubscriptionBody {
    /// Whether it counts; a cancelled one is inactive.
    #[serde(default)]
    #[schema(value_type = String, default = "active", pattern = "^(active|inactive)$")]
    status: Status,
    /// The first instant it no longer counts (RFC 3339); never where it is absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    ends_at: Option<Text<Timestamp>>,
}

/// Who has subscribed to a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionView {
    #[schema(value_type = String)]
    owner: OwnerId,
    #[schema(value_type = String)]
    status: Status,
    #[schema(value_type = Option<String>, format = DateTime)]
    ends_at: Option<Text<Timestamp>>,
}

impl GroupBody {
    pub(crate) fn read(self, tenant: TenantId, id: GroupId) -> Result<Group, ApiError> {
        Ok(Group {
            tenant,
            id,
            kind: self.kind,
            status: self.status,
            limits: LimitBody::read_all(self.limits)?,
            budgets: BudgetBody::read_all(self.budgets)?,
            rate_multiplier: self.rate_multiplier,
        })
    }
}

impl GroupUpdateBody {
    pub(crate) fn read(self) -> Result<GroupUpdate, ApiError> {
        Ok(GroupUpdate {
            kind: self.kind,
            status: self.status,
            limits: self.limits.map(LimitBody::read_all).transpose()?,
            budgets: self.budgets.map(BudgetBody::read_all).transpose()?,
            rate_multiplier: self.rate_multiplier,
        })
    }
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self {
            tenant: group.tenant,
            id: group.id,
            kind: group.kind,
            status: group.status,
            limits: group.limits.iter().map(LimitBody::from).collect(),
            budgets: group.budgets.iter().map(BudgetBody::from).collect(),
            rate_multiplier: group.rate_multiplier,
        }
    }
}

impl From<SubscriptionBody> for Subscription {
    fn from(body: SubscriptionBody) -> Self {
        Self { status: body.status, ends_at: body.ends_at.map(|Text(end)| end) }
    }
}

impl SubscriptionView {
    pub(crate) fn new(owner: OwnerId, subscription: Subscription) -> Self {
        let Subscription { status, ends_at } = subscription;
        Self { owner, status, ends_at: ends_at.map(Text) }
    }
}
