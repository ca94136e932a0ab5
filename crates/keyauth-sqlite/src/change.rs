//! Changes, as they stand in `invalidations`.

use keyauth_core::{Change, GroupId, KeyDigest, KeyId, OwnerId, Subject, TenantId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::row::{DecodeError, version};

/// Reads the columns `kind, tenant, subject, version, digest`. A kind that this version does
/// not know is an error: nobody can say what it makes stale.
pub(crate) fn change(row: &SqliteRow) -> Result<Change, DecodeError> {
    let tenant = || Ok::<_, DecodeError>(TenantId::new(row.try_get::<&str, _>("tenant")?)?);
    let name = || Ok::<&str, DecodeError>(row.try_get("subject")?);
    let subject = match row.try_get::<&str, _>("kind")? {
        "secret" => {
            let digest = row.try_get::<&[u8], _>("digest")?.try_into()?;
            return Ok(Change::NewSecret(KeyDigest::from_bytes(digest)));
        }
        "everything" => Subject::Everything,
        "tenant" => Subject::Tenant(tenant()?),
        "owner" => Subject::Owner(tenant()?, OwnerId::new(name()?)?),
        "group" => Subject::Group(tenant()?, GroupId::new(name()?)?),
        "key" => {
            let id = row.try_get_unchecked::<&[u8], _>("subject")?;
            Subject::Key(KeyId::from_bytes(id.try_into()?))
        }
        other => return Err(format!("a change of unknown kind {other:?}").into()),
    };
    Ok(Change::Raised(subject, version(row, "version")?))
}
