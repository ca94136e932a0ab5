//! Changes, as they stand in `invalidations`.

use keyauth_core::{Change, GroupId, KeyDigest, KeyId, OwnerId, Subject, TenantId, Version};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::row::DecodeError;

/// The columns of a change, of which it has some.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<'a> {
    pub(crate) kind: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) version: Option<i64>,
    pub(crate) digest: Option<&'a [u8]>,
}

/// Reads the columns `kind, tenant, subject, version, digest`.
pub(crate) fn change(row: &PgRow) -> Result<Change, DecodeError> {
    let (version, digest) = (row.try_get("version")?, row.try_get("digest")?);
    Columns { version, digest, ..Columns::of_subject(row)? }.change()
}

/// Reads the columns `kind, tenant, subject`.
pub(crate) fn subject(row: &PgRow) -> Result<Subject, DecodeError> {
    Columns::of_subject(row)?.subject()
}

impl<'a> Columns<'a> {
    fn of_subject(row: &'a PgRow) -> Result<Self, DecodeError> {
        let (kind, tenant) = (row.try_get("kind")?, row.try_get("tenant")?);
        Ok(Self { kind, tenant, subject: row.try_get("subject")?, version: None, digest: None })
    }

    /// What they say. A kind that this version does not know is an error: nobody can say what it
    /// makes stale.
    pub(crate) fn change(self) -> Result<Change, DecodeError> {
        match self.kind {
            "secret" => {
                let digest = self.digest.ok_or("a secret without a digest")?.try_into()?;
                Ok(Change::NewSecret(KeyDigest::from_bytes(digest)))
            }
            "secrets" => Ok(Change::NewSecrets),
            _ => {
                let version = self.version.ok_or("a change without a version")?;
                Ok(Change::Raised(self.subject()?, Version::try_from(version)?))
            }
        }
    }

    fn subject(self) -> Result<Subject, DecodeError> {
        let tenant = || {
            let tenant = self.tenant.ok_or("a subject without a tenant")?;
            Ok::<_, DecodeError>(TenantId::new(tenant)?)
        };
        let name = || self.subject.ok_or("a subject without a name");
        Ok(match self.kind {
            "everything" => Subject::Everything,
            "tenant" => Subject::Tenant(tenant()?),
            "owner" => Subject::Owner(tenant()?, OwnerId::new(name()?)?),
            "group" => Subject::Group(tenant()?, GroupId::new(name()?)?),
            "key" => Subject::Key(name()?.parse::<KeyId>()?),
            other => return Err(format!("a change of unknown kind {other:?}").into()),
        })
    }
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
