//! The proof that a key was admitted.

use std::sync::Arc;

use crate::{GroupId, KeyId, KeyRecord, Metadata, OwnerId, ResourceRules, Scopes, Slots, TenantId};

/// Proof that a key was presented, found and admitted.
///
/// Only [`Authenticator`](crate::Authenticator) makes one, so holding one is proof. It
/// clones for the price of a counter.
///
/// ```compile_fail
/// let record: std::sync::Arc<keyauth_core::KeyRecord> = todo!();
/// let forged = keyauth_core::Admission { record, by: todo!(), slots: None };
/// ```
#[derive(Clone, Debug)]
pub struct Admission {
    record: Arc<KeyRecord>,
    by: AuthenticatorId,
    /// Held, and given back with the last clone.
    slots: Option<Slots>,
}

/// Tells authenticators of one process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AuthenticatorId(pub(super) u64);

impl Admission {
    pub(super) const fn new(record: Arc<KeyRecord>, by: AuthenticatorId) -> Self {
        Self { record, by, slots: None }
    }

    pub(super) fn holding(self, slots: Option<Slots>) -> Self {
        Self { slots, ..self }
    }

    pub(super) fn shared_record(&self) -> Arc<KeyRecord> {
        Arc::clone(&self.record)
    }

    pub(super) fn is_by(&self, authenticator: AuthenticatorId) -> bool {
        self.by == authenticator
    }

    /// The key, which stays the same when its secret is rotated.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.record.key.id
    }

    /// What people call the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.key.name
    }

    /// For whom the key speaks.
    #[must_use]
    pub fn owner(&self) -> &OwnerId {
        &self.record.key.owner
    }

    /// Whose customer the owner is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.record.key.tenant
    }

    /// The group the key is bound to.
    #[must_use]
    pub fn group(&self) -> Option<&GroupId> {
        self.record.key.group.as_ref()
    }

    /// What the key may do.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.record.key.scopes
    }

    /// Whether the key has a scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().contains(scope)
    }

    /// The resources the key may use.
    #[must_use]
    pub fn resources(&self) -> &ResourceRules {
        &self.record.key.resources
    }

    /// What the application wanted to know of the key.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.record.key.metadata
    }

    /// Its places among calls at once, where limits count these and
    /// [`verify`](crate::Authenticator::verify) has admitted it.
    #[must_use]
    pub const fn slots(&self) -> Option<&Slots> {
        self.slots.as_ref()
    }

    /// All that was known when the key was admitted.
    #[must_use]
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }
}
