//! Who changed what. That is written by triggers, in `migrations/0007_lifecycle.sql`.

use keyauth_core::{
    AccountName, Actor, AuditEntry, AuditLog, AuditQuery, BudgetAccount, ChargedBudget, GroupId,
    KeyId, LimitedSubject, OwnerId, StoreError, Subject, TenantId, Timestamp,
};
use serde_json::{Map, Value, json};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row};

use crate::SqliteStore;
use crate::row::DecodeError;
use crate::statement::execute;

const ENTRIES: &str = "SELECT id, at, actor, tenant, kind, subject, what, action, \
     before, after FROM audit WHERE true";

impl AuditLog for SqliteStore {
    fn acting_as(&self, actor: Actor) -> Self {
        self.clone().with_actor(actor)
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        query.check()?;
        let mut list = QueryBuilder::<Sqlite>::new(ENTRIES);
        if let Some(tenant) = &query.tenant {
            list.push(" AND tenant = ").push_bind(tenant.as_str());
        }
        if let Some(subject) = &query.subject {
            let (kind, name) = columns(subject);
            list.push(" AND kind = ").push_bind(kind);
            list.push(" AND subject = ").push_bind(name);
        }
        if let Some(before) = query.before {
            list.push(" AND id < ").push_bind(before);
        }
        list.push(" ORDER BY id DESC LIMIT ").push_bind(query.count);
        let rows = list.build().fetch_all(self.readers()).await.map_err(StoreError::unavailable)?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(StoreError::unavailable)
    }
}

fn decode(row: &SqliteRow) -> Result<AuditEntry, DecodeError> {
    let actor: Option<&str> = row.try_get("actor")?;
    let tenant: Option<&str> = row.try_get("tenant")?;
    let columns = |name| -> Result<Map<String, Value>, DecodeError> {
        let columns: Option<&str> = row.try_get(name)?;
        Ok(columns.map(serde_json::from_str).transpose()?.unwrap_or_default())
    };
    Ok(AuditEntry {
        id: row.try_get("id")?,
        at: Timestamp::from_micros(row.try_get("at")?),
        actor: actor.map(Actor::new).transpose()?,
        database_user: None,
        tenant: tenant.map(TenantId::new).transpose()?,
        subject: subject(row)?,
        what: row.try_get::<&str, _>("what")?.parse()?,
        action: row.try_get::<&str, _>("action")?.parse()?,
        before: columns("before")?,
        after: columns("after")?,
    })
}

/// How a subject stands in `kind, subject`.
fn columns(subject: &Subject) -> (&'static str, String) {
    match subject {
        Subject::Tenant(tenant) => ("tenant", tenant.to_string()),
        Subject::Owner(_, owner) => ("owner", owner.to_string()),
        Subject::Group(_, group) => ("group", group.to_string()),
        Subject::Key(key) => ("key", key.to_string().replace('-', "")),
        _ => ("everything", String::new()),
    }
}

fn subject(row: &SqliteRow) -> Result<Subject, DecodeError> {
    let tenant = || Ok::<_, DecodeError>(TenantId::new(row.try_get::<&str, _>("tenant")?)?);
    let name: &str = row.try_get("subject")?;
    Ok(match row.try_get::<&str, _>("kind")? {
        "everything" => Subject::Everything,
        "tenant" => Subject::Tenant(tenant()?),
        "owner" => Subject::Owner(tenant()?, OwnerId::new(name)?),
        "group" => Subject::Group(tenant()?, GroupId::new(name)?),
        "key" => Subject::Key(name.parse::<KeyId>()?),
        other => return Err(format!("a change of unknown kind {other:?}").into()),
    })
}

/// Notes that what stands of a budget was forgiven. Use is not noted, so no trigger does it.
pub(crate) async fn note_reset(
    connection: &mut SqliteConnection,
    budget: &ChargedBudget,
    old: &BudgetAccount,
    new: &BudgetAccount,
) -> Result<(), StoreError> {
    if (old.used, old.overrun, old.lost) == (new.used, new.overrun, new.lost) {
        return Ok(());
    }
    let AccountName { tenant, subject: counted, budget: name, period, zone } = budget.account();
    let of = match &budget.subject {
        LimitedSubject::Key(_, key) => Subject::Key(*key),
        LimitedSubject::Member(tenant, _, owner) | LimitedSubject::Owner(tenant, owner) => {
            Subject::Owner(tenant.clone(), owner.clone())
        }
        LimitedSubject::Group(tenant, group) => Subject::Group(tenant.clone(), group.clone()),
        LimitedSubject::Tenant(tenant) => Subject::Tenant(tenant.clone()),
        _ => Subject::Everything,
    };
    let stands = |account: &BudgetAccount| {
        json!({
            "counted": counted, "budget": name, "period": period, "zone": zone,
            "used": account.used.as_fractions(), "overrun": account.overrun.as_fractions(),
            "lost": account.lost.as_fractions(),
        })
        .to_string()
    };
    let (kind, subject) = columns(&of);
    let statement = sqlx::query(
        "INSERT INTO audit (actor, tenant, kind, subject, what, action, before, after) \
         VALUES ((SELECT actor FROM acting), nullif(?, ''), ?, ?, 'budget', 'changed', ?, ?)",
    )
    .bind(tenant.as_str())
    .bind(kind)
    .bind(subject)
    .bind(stands(old))
    .bind(stands(new));
    execute(connection, statement).await
}
