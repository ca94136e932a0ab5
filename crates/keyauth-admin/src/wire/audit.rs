//! Who changed what.

use keyauth_core::{Actor, AuditEntry, KeyId, Subject, TenantId, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Text;

/// One change that somebody has made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditView {
    /// Its place among all: later ones are above.
    id: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Text<Timestamp>,
    /// Who asked for it, like `key:` and the id of an administrator's key; `null` where it was done
    /// by hand.
    #[schema(value_type = Option<String>)]
    actor: Option<Actor>,
    /// As whom whoever made it was logged in to the database.
    #[schema(value_type = Option<String>)]
    database_user: Option<Box<str>>,
    #[schema(value_type = Option<String>)]
    tenant: Option<TenantId>,
    /// The owner that it is about, if it is one.
    owner: Option<String>,
    /// The group.
    group: Option<String>,
    /// The key.
    #[schema(value_type = Option<String>, format = "uuid")]
    key: Option<KeyId>,
    /// What was changed: `tenant`, `owner`, `group`, `membership`, `subscription`, `key`, `secret`
    /// or `budget`.
    what: &'static str,
    /// What was done: `created`, `changed` or `deleted`.
    action: &'static str,
    /// What differs, as it was.
    #[schema(value_type = Object)]
    before: Map<String, Value>,
    /// What differs, as it became.
    #[schema(value_type = Object)]
    after: Map<String, Value>,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        let (mut owner, mut group, mut key) = (None, None, None);
        match entry.subject {
            Subject::Owner(_, id) => owner = Some(id.into()),
            Subject::Group(_, id) => group = Some(id.into()),
            Subject::Key(id) => key = Some(id),
            _ => {}
        }
        Self {
            id: entry.id,
            at: Text(entry.at),
            actor: entry.actor,
            database_user: entry.database_user,
            tenant: entry.tenant,
            owner,
            group,
            key,
            what: entry.what.as_str(),
            action: entry.action.as_str(),
            before: entry.before,
            after: entry.after,
        }
    }
}
