//! Rows to records, and values to columns.

use std::error::Error;

use keyauth_core::{
    AddressRules, AddressSet, Budget, GroupAccess, GroupId, Key, KeyHint, KeyId, KeyRecord,
    LastUse, Limit, Memo, OwnerId, SecretId, StoreError, StoreErrorKind, Subscription, TenantId,
    Timestamp, Version, Versions,
};
use serde::de::value::Error as ValueError;
use serde::de::{DeserializeOwned, IntoDeserializer};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::{Json, Uuid};

use crate::statement::Statement;
use crate::time::PgTime;

pub(crate) type DecodeError = Box<dyn Error + Send + Sync>;

/// The columns of a key, from `keys AS k`, as [`key`] reads them.
macro_rules! key_columns {
    () => {
        "k.id, k.tenant, k.owner, k.group_id, k.name, k.hint, k.status, k.scopes, \
         k.allow_addresses::text[] AS allow_addresses, \
         k.deny_addresses::text[] AS deny_addresses, k.endpoints, k.resources, k.limits, \
         k.budgets, k.metadata, k.starts_at, k.expires_at, k.created_at, k.updated_at, \
         k.revoked_at"
    };
}
pub(crate) use key_columns;

/// Reads a key. Where the statement does not ask when it was last used, and from where, that is `None`.
pub(crate) fn key(row: &PgRow) -> Result<Key, DecodeError> {
    let group: Option<&str> = row.try_get("group_id")?;
    Ok(Key {
        id: KeyId::from_bytes(row.try_get::<Uuid, _>("id")?.into_bytes()),
        tenant: TenantId::new(row.try_get::<&str, _>("tenant")?)?,
        owner: OwnerId::new(row.try_get::<&str, _>("owner")?)?,
        group: group.map(GroupId::new).transpose()?,
        name: row.try_get::<&str, _>("name")?.into(),
        hint: KeyHint::from_stored(row.try_get::<String, _>("hint")?),
        status: row.try_get::<&str, _>("status")?.parse()?,
        scopes: texts(row, "scopes")?,
        addresses: AddressRules {
            allow: AddressSet::from_stored(row.try_get::<Vec<String>, _>("allow_addresses")?),
            deny: AddressSet::from_stored(row.try_get::<Vec<String>, _>("deny_addresses")?),
        },
        endpoints: texts(row, "endpoints")?,
        resources: texts(row, "resources")?,
        limits: json(row, "limits")?,
        budgets: json(row, "budgets")?,
        metadata: json(row, "metadata")?,
        starts_at: time(row, "starts_at")?,
        expires_at: time(row, "expires_at")?,
        created_at: row.try_get::<PgTime, _>("created_at")?.0,
        updated_at: row.try_get::<PgTime, _>("updated_at")?.0,
        last_use: last_use(row)?,
        revoked_at: time(row, "revoked_at")?,
    })
}

/// The last use, where it was asked for: a lookup does not.
fn last_use(row: &PgRow) -> Result<Option<Box<LastUse>>, DecodeError> {
    let at = match row.try_get::<Option<PgTime>, _>("last_used_at") {
        Err(sqlx::Error::ColumnNotFound(_)) => return Ok(None),
        at => at?,
    };
    let Some(PgTime(at)) = at else { return Ok(None) };
    let from: Option<&str> = row.try_get("last_used_from")?;
    Ok(Some(Box::new(LastUse { at, from: from.map(str::parse).transpose()? })))
}

/// Reads the record of a lookup; see the statement in `store.rs` for its columns.
pub(crate) fn record(row: &PgRow) -> Result<KeyRecord, DecodeError> {
    let key = key(row)?;
    let owner = terms(row, ("owner_limits", "owner_budgets"))?;
    let tenant = terms(row, ("tenant_limits", "tenant_budgets"))?;
    let (group, of_group) = match key.group {
        Some(_) => (Some(group_access(row)?), terms(row, ("group_limits", "group_budgets"))?),
        None => (None, Terms::default()),
    };
    let rate_multiplier: Option<&str> = row.try_get("rate_multiplier")?;
    Ok(KeyRecord {
        secret: SecretId::from_bytes(row.try_get::<Uuid, _>("secret_id")?.into_bytes()),
        secret_ends_at: time(row, "secret_ends_at")?,
        tenant: row.try_get::<&str, _>("tenant_status")?.parse()?,
        owner: row.try_get::<&str, _>("owner_status")?.parse()?,
        group,
        limits: key.applied_limits(&owner.limits, &of_group.limits, &tenant.limits),
        budgets: key.applied_budgets(&owner.budgets, &of_group.budgets, &tenant.budgets),
        rate_multiplier: rate_multiplier.map(str::parse).transpose()?.unwrap_or_default(),
        memo: Memo::default(),
        versions: Versions {
            everything: version(row, "everything_version")?,
            tenant: version(row, "tenant_version")?,
            owner: version(row, "owner_version")?,
            group: match key.group {
                Some(_) => version(row, "group_version")?,
                None => Version::ZERO,
            },
            key: version(row, "key_version")?,
        },
        key,
    })
}

pub(crate) fn group_access(row: &PgRow) -> Result<GroupAccess, DecodeError> {
    let subscription: Option<&str> = row.try_get("subscription_status")?;
    let subscription = match subscription {
        Some(status) => {
            let ends_at = time(row, "subscription_ends_at")?;
            Some(Subscription { status: status.parse()?, ends_at })
        }
        None => None,
    };
    Ok(GroupAccess {
        status: row.try_get::<&str, _>("group_status")?.parse()?,
        kind: row.try_get::<&str, _>("group_kind")?.parse()?,
        member: row.try_get("member")?,
        subscription,
    })
}

pub(crate) fn time(row: &PgRow, column: &str) -> Result<Option<Timestamp>, DecodeError> {
    Ok(row.try_get::<Option<PgTime>, _>(column)?.map(|time| time.0))
}

pub(crate) fn version(row: &PgRow, column: &str) -> Result<Version, DecodeError> {
    Ok(Version::try_from(row.try_get::<i64, _>(column)?)?)
}

/// A number that need not be set.
pub(crate) fn count(row: &PgRow, column: &str) -> Result<Option<u32>, DecodeError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(u32::try_from).transpose()?)
}

/// Reads what there must be one of.
pub(crate) async fn one<T>(
    connection: &mut PgConnection,
    statement: Statement<'_>,
    decode: impl Fn(&PgRow) -> Result<T, DecodeError>,
) -> Result<T, StoreError> {
    match statement.fetch_optional(connection).await.map_err(StoreError::unavailable)? {
        Some(row) => decode(&row).map_err(StoreError::unavailable),
        None => Err(StoreErrorKind::NotFound.into()),
    }
}

/// Reads what there is any number of.
pub(crate) async fn all<T>(
    connection: &mut PgConnection,
    statement: Statement<'_>,
    decode: impl Fn(&PgRow) -> Result<T, DecodeError>,
) -> Result<Vec<T>, StoreError> {
    let rows = statement.fetch_all(connection).await.map_err(StoreError::unavailable)?;
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(StoreError::unavailable)
}

/// What an owner, group or tenant sets; most set nothing.
#[derive(Default)]
struct Terms {
    limits: Vec<Limit>,
    budgets: Vec<Budget>,
}

fn terms(row: &PgRow, (limits, budgets): (&str, &str)) -> Result<Terms, DecodeError> {
    Ok(Terms { limits: json(row, limits)?, budgets: json(row, budgets)? })
}

pub(crate) fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, DecodeError> {
    Ok(row.try_get::<Json<T>, _>(column)?.0)
}

fn texts<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, DecodeError> {
    let texts = row.try_get::<Vec<String>, _>(column)?;
    let decode = |error: ValueError| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: error.into(),
    };
    T::deserialize(texts.into_deserializer()).map_err(|error| decode(error).into())
}
