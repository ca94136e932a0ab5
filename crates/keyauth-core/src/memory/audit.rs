//! Who changed what.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::state::State;
use super::{MemoryStore, Secret};
use crate::{
    Actor, AuditAction, AuditEntry, AuditLog, AuditQuery, AuditedThing, Group, Key, KeyId, Owner,
    StoreError, Subject, Subscription, Tenant, TenantId, Timestamp,
};

/// What is said elsewhere or says nothing.
const HIDDEN: [&str; 5] = ["id", "tenant", "created_at", "updated_at", "last_use"];

/// What names a secret, a place on a list and a subscription.
const NAMES: [&str; 3] = ["secret", "of_group", "of_owner"];

/// What was noted, and as whose changes those to come are noted.
#[derive(Debug)]
pub(super) struct Audit {
    entries: Vec<AuditEntry>,
    pub(super) acting: Option<Actor>,
    pub(super) now: Timestamp,
}

impl Default for Audit {
    fn default() -> Self {
        let now = Timestamp::from_unix_seconds(0);
        Self { entries: Vec::new(), acting: None, now }
    }
}

impl AuditLog for MemoryStore {
    fn acting_as(&self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self.clone() }
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        query.check()?;
        let state = self.read();
        let is_asked_for = |entry: &&AuditEntry| {
            query.tenant.as_ref().is_none_or(|tenant| entry.tenant.as_ref() == Some(tenant))
                && query.subject.as_ref().is_none_or(|subject| entry.subject == *subject)
                && query.before.is_none_or(|before| entry.id < before)
        };
        let entries = state.audit.entries.iter().rev().filter(is_asked_for);
        Ok(entries.take(query.count.into()).cloned().collect())
    }
}

impl State {
    pub(super) fn note_tenant(&mut self, old: Option<&Tenant>, new: &Tenant) {
        let subject = Subject::Tenant(new.id.clone());
        self.note(&new.id, subject, AuditedThing::Tenant, columns(old), columns(Some(new)));
    }

    /// Of an owner that was, and is, there or deleted.
    pub(super) fn note_owner(&mut self, old: Option<(&Owner, Kept)>, new: (&Owner, Kept)) {
        let (owner, _) = new;
        let subject = Subject::Owner(owner.tenant.clone(), owner.id.clone());
        let (old, new) = (old.and_then(kept_columns), kept_columns(new));
        self.note(&owner.tenant, subject, AuditedThing::Owner, old, new);
    }

    pub(super) fn note_group(&mut self, old: Option<&Group>, new: Option<&Group>) {
        if let Some(Group { tenant, id, .. }) = new.or(old) {
            let subject = Subject::Group(tenant.clone(), id.clone());
            self.note(tenant, subject, AuditedThing::Group, columns(old), columns(new));
        }
    }

    pub(super) fn note_key(&mut self, old: Option<&Key>, new: &Key) {
        let old = old.map(|old| (old, Kept::There));
        self.note_kept_key(old, (new, Kept::There));
    }

    pub(super) fn note_deleted_key(&mut self, old: &Key, new: &Key) {
        self.note_kept_key(Some((old, Kept::There)), (new, Kept::Deleted));
    }

    fn note_kept_key(&mut self, old: Option<(&Key, Kept)>, new: (&Key, Kept)) {
        let (key, _) = new;
        let (old, new) = (old.and_then(kept_columns), kept_columns(new));
        self.note(&key.tenant, Subject::Key(key.id), AuditedThing::Key, old, new);
    }

    pub(super) fn note_secret(
        &mut self,
        (tenant, key): (&TenantId, KeyId),
        old: Option<&Secret>,
        new: Option<&Secret>,
    ) {
        let (old, new) = (old.map(secret_columns), new.map(secret_columns));
        self.note(tenant, Subject::Key(key), AuditedThing::Secret, old, new);
    }

    pub(super) fn note_membership(&mut self, relation: &Relation, was: bool, is: bool) {
        let (tenant, group, owner) = relation;
        let columns = || json!({ "of_group": group, "of_owner": owner });
        let (old, new) = (was.then(columns), is.then(columns));
        let subject = Subject::Owner(tenant.clone(), owner.clone());
        self.note(tenant, subject, AuditedThing::Membership, old, new);
    }

    pub(super) fn note_subscription(
        &mut self,
        (tenant, group, owner): &Relation,
        old: Option<Subscription>,
        new: Option<Subscription>,
    ) {
        let columns = |subscription: Subscription| {
            let Subscription { status, ends_at } = subscription;
            json!({ "of_group": group, "of_owner": owner, "status": status, "ends_at": ends_at })
        };
        let (old, new) = (old.map(columns), new.map(columns));
        let subject = Subject::Owner(tenant.clone(), owner.clone());
        self.note(tenant, subject, AuditedThing::Subscription, old, new);
    }

    fn note(
        &mut self,
        tenant: &TenantId,
        subject: Subject,
        what: AuditedThing,
        old: Option<Value>,
        new: Option<Value>,
    ) {
        let action = match (&old, &new) {
            (None, _) => AuditAction::Created,
            (_, None) => AuditAction::Deleted,
            _ => AuditAction::Changed,
        };
        let (old, new) = (object(old), object(new));
        let differing = |one: &Map<String, Value>, other: &Map<String, Value>| {
            // What names a thing is told whatever differs.
            let differs = |(name, value): &(&String, &Value)| {
                NAMES.contains(&name.as_str()) || other.get(*name) != Some(*value)
            };
            one.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let (before, after) = (differing(&old, &new), differing(&new, &old));
        if old == new {
            return;
        }
        self.audit.entries.push(AuditEntry {
            id: i64::try_from(self.audit.entries.len()).unwrap_or(i64::MAX),
            at: self.audit.now,
            actor: self.audit.acting.clone(),
            database_user: None,
            tenant: Some(tenant.clone()),
            subject,
            what,
            action,
            before,
            after,
        });
    }
}

/// Whether what is kept is to be seen.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kept {
    There,
    Deleted,
}

fn kept_columns((value, kept): (&impl Serialize, Kept)) -> Option<Value> {
    let mut columns = columns(Some(value))?;
    columns.as_object_mut()?.insert("kept".to_owned(), json!(kept));
    Some(columns)
}

/// A tenant, a group and an owner.
pub(super) type Relation = (TenantId, crate::GroupId, crate::OwnerId);

fn columns(value: Option<&impl Serialize>) -> Option<Value> {
    value.map(|value| serde_json::to_value(value).unwrap_or_default())
}

fn secret_columns(secret: &Secret) -> Value {
    json!({ "secret": secret.id, "ends_at": secret.ends_at })
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(mut object)) => {
            object.retain(|name, _| !HIDDEN.contains(&name.as_str()));
            object
        }
        _ => Map::new(),
    }
}
