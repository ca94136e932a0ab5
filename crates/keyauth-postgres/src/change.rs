//! Changes, as they stand in `invalidations`.

use keyauth_core::{Change, GroupId, KeyDigest, KeyId, OwnerId, Subject, TenantId};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::row::{DecodeError, version};

/// Reads the columns `kind, tenant, subject, version, digest`. A kind that this version does
/// not know is an error: nobody can say what it makes stale.
pub(crate) fn change(row: &PgRow) -> Result<Change, DecodeError> {
    match row.try_get::<&str, _>("kind")? {
        "secret" => {
            let digest = row.try_get::<&[u8], _>("digest")?.try_into()?;
            Ok(Change::NewSecret(KeyDigest::from_bytes(digest)))
        }
        "secrets" => Ok(Change::NewSecrets),
        _ => Ok(Change::Raised(subject(row)?, version(row, "version")?)),
    }
}

/// Reads the columns `kind, tenant, subject`.
pub(crate) fn subject(row: &PgRow) -> Result<Subject, DecodeError> {
    let tenant = || Ok::<_, DecodeError>(TenantId::new(row.try_get::<&str, _>("tenant")?)?);
    let name = || Ok::<&str, DecodeError>(row.try_get("subject")?);
    Ok(match row.try_get::<&str, _>("kind")? {
        "everything" => Subject::Everything,
        "tenant" => Subject::Tenant(tenant()?),
        "owner" => Subject::Owner(tenant()?, OwnerId::new(name()?)?),
        "group" => Subject::Group(tenant()?, GroupId::new(name()?)?),
        "key" => Subject::Key(name()?.parse::<KeyId>()?),
        other => return Err(format!("a change of unknown kind {other:?}").into()),
    })
}

/// How a subject stands in `kind, tenant, subject`; what it has not is null.
pub(crate) fn columns(subject: &Subject) -> (&'static str, Option<&str>, Option<String>) {
    match subject {
        Subject::Tenant(tenant) => ("tenant", Some(tenant.as_str()), Some(tenant.to_string())),
        Subject::Owner(tenant, owner) => ("owner", Some(tenant.as_str()), Some(owner.to_string())),
        Subject::Group(tenant, group) => ("group", Some(tenant.as_str()), Some(group.to_string())),
        Subject::Key(key) => ("key", None, Some(key.to_string())),
        _ => ("everything", None, None),
    }
}
