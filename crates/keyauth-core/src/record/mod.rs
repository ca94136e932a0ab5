//! What is known of a key and of those it belongs to.

mod amount;
mod applied;
mod budget;
mod group;
mod key;
mod key_ref;
mod limit;
mod memo;
mod metadata;
mod owner;
mod rate_multiplier;
mod snapshot;
mod tenant;
mod version;
mod word;

pub use amount::{Amount, InvalidAmount};
pub use applied::{AppliedBudget, AppliedLimit, Counted, LimitedSubject};
pub use budget::{Budget, BudgetMode, BudgetWindow};
pub use group::{Group, GroupKind};
pub use key::{Key, KeyStatus, LastUse};
pub use key_ref::KeyRef;
pub use limit::{Limit, LimitCount, LimitSubject, LimitUnit, LimitWindow};
pub use memo::Memo;
pub use metadata::Metadata;
pub use owner::Owner;
pub use rate_multiplier::{InvalidRateMultiplier, RateMultiplier};
pub use snapshot::{GroupAccess, KeyRecord, Subscription};
pub use tenant::{CustomKeys, Tenant};
pub use version::{Version, Versions};
pub use word::UnknownWord;
pub(crate) use word::words;

use serde::{Deserialize, Serialize};

/// Whether a tenant, owner or group lets its keys work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Its keys work.
    #[default]
    Active,
    /// None of its keys works, until it is made active again.
    Inactive,
}

words!(Status { Active => "active", Inactive => "inactive" });
