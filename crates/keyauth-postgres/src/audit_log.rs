//! Who changed what. That is written by triggers, in `migrations/0007_lifecycle.sql`.

use keyauth_core::{Actor, AuditEntry, AuditLog, AuditQuery, StoreError, TenantId};
use serde_json::{Map, Value};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row};

use crate::PostgresStore;
use crate::change::{columns, subject};
use crate::row::DecodeError;
use crate::time::PgTime;

const ENTRIES: &str = "SELECT id, at, actor, database_user, tenant, kind, subject, what, action, \
     before, after FROM keyauth.audit WHERE true";

impl AuditLog for PostgresStore {
    fn acting_as(&self, actor: Actor) -> Self {
        self.clone().with_actor(actor)
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        query.check()?;
        let mut list = QueryBuilder::<Postgres>::new(self.schema().text(ENTRIES));
        if let Some(tenant) = &query.tenant {
            list.push(" AND tenant = ").push_bind(tenant.as_str());
        }
        if let Some(subject) = &query.subject {
            let (kind, _, name) = columns(subject);
            list.push(" AND kind = ").push_bind(kind);
            list.push(" AND subject = ").push_bind(name);
        }
        if let Some(before) = query.before {
            list.push(" AND id < ").push_bind(before);
        }
        list.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(query.count));
        let rows = list.build().fetch_all(self.pool()).await.map_err(StoreError::unavailable)?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(StoreError::unavailable)
    }
}

fn decode(row: &PgRow) -> Result<AuditEntry, DecodeError> {
    let actor: Option<&str> = row.try_get("actor")?;
    let tenant: Option<&str> = row.try_get("tenant")?;
    let columns = |name| -> Result<Map<String, Value>, DecodeError> {
        let columns: Option<Json<_>> = row.try_get(name)?;
        Ok(columns.map(|columns| columns.0).unwrap_or_default())
    };
    Ok(AuditEntry {
        id: row.try_get("id")?,
        at: row.try_get::<PgTime, _>("at")?.0,
        actor: actor.map(Actor::new).transpose()?,
        database_user: Some(row.try_get::<&str, _>("database_user")?.into()),
        tenant: tenant.map(TenantId::new).transpose()?,
        subject: subject(row)?,
        what: row.try_get::<&str, _>("what")?.parse()?,
        action: row.try_get::<&str, _>("action")?.parse()?,
        before: columns("before")?,
        after: columns("after")?,
    })
}
