//! Decisions.

use std::net::IpAddr;
use std::time::Duration;

use keyauth_core::{Admission, Amount, GroupId, KeyId, Metadata, OwnerId, Scopes, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::LimitStateView;

/// A key that somebody has presented, and what for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Presented)]
pub(crate) struct VerifyBody {
    /// The key, as it was presented.
    pub(crate) key: String,
    /// The scopes that it must have, all of them.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Where the request comes from, behind all proxies.
    #[schema(value_type = Option<String>, example = "192.0.2.1")]
    pub(crate) address: Option<IpAddr>,
    /// What is called.
    pub(crate) method: Option<String>,
    /// Its path, as the client has sent it.
    pub(crate) path: Option<String>,
    /// The resource it is about, by the name that resource rules use.
    pub(crate) resource: Option<String>,
    /// What it counts for limits of cost; one otherwise.
    pub(crate) cost: Option<u64>,
    /// What it is charged to budgets.
    pub(crate) charge: Option<ChargeBody>,
}

/// What something costs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Charge)]
pub(crate) struct ChargeBody {
    /// How much, as a decimal with at most eight places.
    #[schema(value_type = String, pattern = "^[0-9]{1,11}(\\.[0-9]{1,8})?$")]
    pub(crate) amount: Amount,
    /// Names it, so that it is charged once however often that is tried. It needs a scope of its
    /// own, and must never be chosen by whoever is charged.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub(crate) id: Option<String>,
}

/// What is decided about a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decision)]
pub(crate) struct DecisionView {
    /// Whether it is let through.
    pub(crate) allowed: bool,
    /// Why not; `null` where it is.
    pub(crate) code: Option<&'static str>,
    /// The same for people.
    pub(crate) detail: Option<&'static str>,
    /// The status of HTTP that tells it.
    pub(crate) status: u16,
    /// When to try again, in seconds, where that would help.
    pub(crate) retry_after: Option<u64>,
    /// Whose key it is, where it is let through.
    pub(crate) key: Option<VerifiedKey>,
    /// How its limits stand, where some apply and the answer did not come earlier.
    pub(crate) limits: Vec<LimitStateView>,
}

/// Whose key it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerifiedKey {
    #[schema(value_type = String, format = "uuid")]
    id: KeyId,
    #[schema(value_type = String)]
    tenant: TenantId,
    #[schema(value_type = String)]
    owner: OwnerId,
    #[schema(value_type = Option<String>)]
    group: Option<GroupId>,
    name: String,
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
    #[schema(value_type = Object)]
    metadata: Metadata,
}

impl From<&Admission> for VerifiedKey {
    fn from(admission: &Admission) -> Self {
        Self {
            id: admission.key_id(),
            tenant: admission.tenant().clone(),
            owner: admission.owner().clone(),
            group: admission.group().cloned(),
            name: admission.name().to_owned(),
            scopes: admission.scopes().clone(),
            metadata: admission.metadata().clone(),
        }
    }
}

impl DecisionView {
    /// Whole seconds, at least one.
    pub(crate) fn seconds(wait: Duration) -> u64 {
        wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
    }
}
