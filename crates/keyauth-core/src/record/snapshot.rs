//! What a lookup finds: a key and the state of all it depends on, at one moment.

use serde::{Deserialize, Serialize};

use super::{AppliedBudget, AppliedLimit, GroupKind, Key, Memo, RateMultiplier, Status, Versions};
use crate::{Denial, InvalidInput, Problem, SecretId, Timestamp};

/// A key together with everything that decides about it, read in one statement.
///
/// [`admit`](crate::admit) judges it without asking anybody further.
// What decides stands together, at the end of the key and the beginning of what follows it, and in
// this order: a record that was not read for a while is fetched from memory piece by piece.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The key. Its last use is `None` in a record: using a key does not change what is decided about
    /// it, and must not change what caches hold.
    pub key: Key,
    /// The first instant that secret no longer works, where the key was rotated.
    pub secret_ends_at: Option<Timestamp>,
    /// Whether the tenant lets its keys work.
    pub tenant: Status,
    /// Whether the owner lets its keys work.
    pub owner: Status,
    /// The group the key is bound to and what the owner is to it.
    pub group: Option<GroupAccess>,
    /// The limits that apply to it, its own and those of all it belongs to, in the order of
    /// whose use they count.
    pub limits: Box<[AppliedLimit]>,
    /// The budgets that its use is charged to, in the same order.
    pub budgets: Box<[AppliedBudget]>,
    /// What others have worked out from it.
    #[serde(skip)]
    pub memo: Memo,
    /// The secret that was presented.
    pub secret: SecretId,
    /// What it is charged is multiplied by.
    pub rate_multiplier: RateMultiplier,
    /// The versions of all these.
    pub versions: Versions,
}

/// What the owner of a key is to the key's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAccess {
    /// Whether the group lets its keys work.
    pub status: Status,
    /// Who may use the group.
    pub kind: GroupKind,
    /// Whether the owner is on the group's list.
    pub member: bool,
    /// The owner's subscription to the group, if there ever was one.
    pub subscription: Option<Subscription>,
}

impl GroupAccess {
    /// Whether the owner may use the group, be it active or not.
    ///
    /// # Errors
    ///
    /// [`GroupDenied`](Denial::GroupDenied) or
    /// [`SubscriptionRequired`](Denial::SubscriptionRequired).
    pub fn admit_owner(&self, now: Timestamp) -> Result<(), Denial> {
        match self.kind {
            GroupKind::Standard => Ok(()),
            GroupKind::Exclusive if self.member => Ok(()),
            GroupKind::Exclusive => Err(Denial::GroupDenied),
            GroupKind::Subscription => match self.subscription {
                Some(subscription) if subscription.is_active(now) => Ok(()),
                _ => Err(Denial::SubscriptionRequired),
            },
        }
    }

    /// Whether a key of the owner may be bound to the group, be it active or not: for stores.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] of the field `group`, saying what the owner lacks.
    pub fn check_binding(&self, now: Timestamp) -> Result<(), InvalidInput> {
        let message = match self.admit_owner(now) {
            Ok(()) => return Ok(()),
            Err(Denial::SubscriptionRequired) => "needs an active subscription of the owner",
            Err(_) => "is exclusive, and the owner is not on its list",
        };
        Err(Problem::new("group", message).into())
    }
}

/// An owner's right to use a group of kind [`GroupKind::Subscription`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Whether it counts at present; a cancelled one is inactive.
    pub status: Status,
    /// The first instant it no longer counts; never where `None`.
    pub ends_at: Option<Timestamp>,
}

impl Subscription {
    /// A subscription that counts until it is cancelled.
    #[must_use]
    pub const fn open_ended() -> Self {
        Self { status: Status::Active, ends_at: None }
    }

    /// A subscription that counts until, but not at, `end`.
    #[must_use]
    pub const fn until(end: Timestamp) -> Self {
        Self { status: Status::Active, ends_at: Some(end) }
    }

    /// Whether it counts at `now`.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.status == Status::Active && self.ends_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_record_leaves_room_for_what_a_cache_needs_beside_it() {
        // Of 512 bytes a cached key, without its strings.
        assert!(size_of::<KeyRecord>() <= 416, "{}", size_of::<KeyRecord>());
    }
}
