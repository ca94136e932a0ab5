//! A key, as people manage it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Budget, Limit, Metadata, words};
use crate::{
    AddressRules, EndpointRules, GroupId, KeyHint, KeyId, OwnerId, ResourceRules, Scopes, TenantId,
    Timestamp,
};

/// One key: an identity with rules, that may go through many secrets.
///
/// It holds neither a secret nor a digest.
// What decides stands at the end, for the reason given at `KeyRecord`.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Stays the same through every rotation.
    pub id: KeyId,
    /// What people call it; not unique.
    pub name: Arc<str>,
    /// The beginning of its newest secret, to tell keys apart.
    pub hint: KeyHint,
    /// Whose customer the owner is.
    pub tenant: TenantId,
    /// For whom the key speaks.
    pub owner: OwnerId,
    /// Whatever the application wants to know of it.
    pub metadata: Metadata,
    /// With which resources.
    pub resources: ResourceRules,
    /// How often.
    pub limits: Box<[Limit]>,
    /// For how much.
    pub budgets: Box<[Budget]>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When a person last changed it. Use does not count.
    pub updated_at: Timestamp,
    /// Its last use, as far as that has been written down.
    #[serde(default)]
    pub last_use: Option<Box<LastUse>>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Whether it works.
    pub status: KeyStatus,
    /// The group it is bound to, if any.
    pub group: Option<GroupId>,
    /// The first instant it no longer works; never where `None`.
    pub expires_at: Option<Timestamp>,
    /// From when on it works; from the start where `None`.
    pub starts_at: Option<Timestamp>,
    /// From where.
    pub addresses: AddressRules,
    /// On which endpoints.
    pub endpoints: EndpointRules,
    /// What it may do.
    pub scopes: Scopes,
}

/// When and from where a key was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// When, to the minute or better.
    pub at: Timestamp,
    /// From where, where it is known.
    pub from: Option<IpAddr>,
}

/// Whether a key works, as far as its holder's managers have said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyStatus {
    /// It works, if nothing else forbids it.
    #[default]
    Active,
    /// It does not work until it is enabled again.
    Disabled,
    /// It never works again.
    Revoked,
}

words!(KeyStatus { Active => "active", Disabled => "disabled", Revoked => "revoked" });
