//! Reading who changed what.

use serde_json::{Map, Value};

use crate::record::words;
use crate::{Actor, InvalidInput, Problem, StoreError, Subject, TenantId, Timestamp};

/// Notes who changes what, in the transaction that changes it, and tells.
///
/// # Contract
///
/// * Every change of tenants, owners, groups, lists, subscriptions, keys and secrets is noted once,
///   whoever makes it and by whatever way the store can be written; and that a ledger was asked to
///   begin a budget anew, or to give back what was lost of it. What changes nothing is not noted,
///   nor what was refused.
/// * No plaintext key is in it, and no digest.
/// * Where the store knows rights, nobody who may change keys may change what is noted.
///
/// Checked by `keyauth_testkit::audit_log_conformance!`.
pub trait AuditLog: Send + Sync + Sized {
    /// The same store, whose changes are noted as this actor's.
    #[must_use]
    fn acting_as(&self, actor: Actor) -> Self;

    /// Reads what was noted, the latest first.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) as [`AuditQuery::check`] says;
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable).
    fn audit(
        &self,
        query: &AuditQuery,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, StoreError>> + Send;
}

/// What to read of who changed what.
#[derive(Clone, Debug)]
pub struct AuditQuery {
    /// Of this tenant alone; of all where `None`, and what was done to all at once.
    pub tenant: Option<TenantId>,
    /// Of this tenant, owner, group or key alone.
    pub subject: Option<Subject>,
    /// Only what was noted before this entry.
    pub before: Option<i64>,
    /// At most so many.
    pub count: u16,
}

impl AuditQuery {
    /// The last `count` entries of a tenant.
    #[must_use]
    pub const fn last(tenant: TenantId, count: u16) -> Self {
        Self { tenant: Some(tenant), subject: None, before: None, count }
    }

    /// The last `count` entries of all tenants.
    #[must_use]
    pub const fn last_of_all(count: u16) -> Self {
        Self { tenant: None, subject: None, before: None, count }
    }

    /// Only those about a tenant, an owner, a group or a key, with all that is a part of it.
    #[must_use]
    pub fn of(self, subject: Subject) -> Self {
        Self { subject: Some(subject), ..self }
    }

    /// Those noted before the last one read.
    #[must_use]
    pub fn before(self, last: &AuditEntry) -> Self {
        Self { before: Some(last.id), ..self }
    }

    /// Whether it can be answered without reading more than is asked for: for stores.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] of `subject`, where that is of another tenant, or of all; of `tenant`, where
    /// a subject is asked for without one.
    pub fn check(&self) -> Result<(), InvalidInput> {
        let of = match &self.subject {
            None => return Ok(()),
            Some(Subject::Key(_)) => None,
            Some(
                Subject::Tenant(tenant) | Subject::Owner(tenant, _) | Subject::Group(tenant, _),
            ) => Some(tenant),
            Some(Subject::Everything) => {
                return Err(Problem::new("subject", "is everything; leave it out").into());
            }
        };
        match (&self.tenant, of) {
            (None, _) => Err(Problem::new("tenant", "is needed beside a subject").into()),
            (Some(tenant), Some(of)) if tenant != of => {
                Err(Problem::new("subject", "is another tenant's").into())
            }
            _ => Ok(()),
        }
    }
}

/// One change that somebody has made.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its place among all: later ones are above.
    pub id: i64,
    /// When it was made, by the store's clock.
    pub at: Timestamp,
    /// Who asked for it; nobody that the store knows of, where `None`.
    pub actor: Option<Actor>,
    /// As whom whoever made it was logged in to the database, where it has such.
    pub database_user: Option<Box<str>>,
    /// Whose; of all where `None`.
    pub tenant: Option<TenantId>,
    /// To whom it belongs: secrets to their key, places on lists and subscriptions to their owner.
    pub subject: Subject,
    /// What was changed.
    pub what: AuditedThing,
    /// What was done to it.
    pub action: AuditAction,
    /// What differs, as it was, by the names the store has for it. Nothing of what was created.
    pub before: Map<String, Value>,
    /// What differs, as it became. Nothing of what was deleted.
    pub after: Map<String, Value>,
}

/// What changes are noted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditedThing {
    /// A tenant.
    Tenant,
    /// An owner.
    Owner,
    /// A group.
    Group,
    /// A place on a group's list.
    Membership,
    /// A subscription to a group.
    Subscription,
    /// A key.
    Key,
    /// One of a key's secrets: that it came, ends or went.
    Secret,
    /// What stands of a budget: that it was begun anew, or that what was lost was given back.
    Budget,
}

words!(AuditedThing {
    Tenant => "tenant",
    Owner => "owner",
    Group => "group",
    Membership => "membership",
    Subscription => "subscription",
    Key => "key",
    Secret => "secret",
    Budget => "budget",
});

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// It was not there before.
    Created,
    /// It was there before, and is.
    Changed,
    /// It is not there any more. Keys and owners that stay out of sight have changed.
    Deleted,
}

words!(AuditAction { Created => "created", Changed => "changed", Deleted => "deleted" });
