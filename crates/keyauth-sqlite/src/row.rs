//! Rows to records, and values to columns.

use std::error::Error;

use keyauth_core::{
    AddressRules, Budget, GroupAccess, GroupId, Key, KeyHint, KeyId, KeyRecord, LastUse, Limit,
    Memo, OwnerId, SecretId, StoreError, StoreErrorKind, Subscription, TenantId, Timestamp,
    Version, Versions,
};
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::statement::Statement;

pub(crate) type DecodeError = Box<dyn Error + Send + Sync>;

/// The columns of a key, from `keys AS k`, as [`key`] reads them.
macro_rules! key_columns {
    () => {
        "k.id, k.tenant, k.owner, k.group_id, k.name, k.hint, k.status, k.scopes, \
         k.allow_addresses, k.deny_addresses, k.endpoints, k.resources, k.limits, k.budgets, \
         k.metadata, k.starts_at, k.expires_at, k.created_at, k.updated_at, k.revoked_at"
    };
}
pub(crate) use key_columns;

/// Reads a key. Where the statement does not ask when it was last used, and from where, that is `None`.
pub(crate) fn key(row: &SqliteRow) -> Result<Key, DecodeError> {
    let group: Option<String> = row.try_get("group_id")?;
    Ok(Key {
        id: KeyId::from_bytes(row.try_get::<&[u8], _>("id")?.try_into()?),
        tenant: TenantId::new(row.try_get::<&str, _>("tenant")?)?,
        owner: OwnerId::new(row.try_get::<&str, _>("owner")?)?,
        group: group.map(GroupId::new).transpose()?,
        name: row.try_get::<&str, _>("name")?.into(),
        hint: KeyHint::from_stored(row.try_get::<String, _>("hint")?),
        status: row.try_get::<&str, _>("status")?.parse()?,
        scopes: json(row, "scopes")?,
        addresses: AddressRules {
            allow: json(row, "allow_addresses")?,
            deny: json(row, "deny_addresses")?,
        },
        endpoints: json(row, "endpoints")?,
        resources: json(row, "resources")?,
        limits: json(row, "limits")?,
        budgets: json(row, "budgets")?,
        metadata: json(row, "metadata")?,
        starts_at: time(row, "starts_at")?,
        expires_at: time(row, "expires_at")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        updated_at: Timestamp::from_micros(row.try_get("updated_at")?),
        last_use: last_use(row)?,
        revoked_at: time(row, "revoked_at")?,
    })
}

/// The last use, where it was asked for: a lookup does not.
fn last_use(row: &SqliteRow) -> Result<Option<Box<LastUse>>, DecodeError> {
    let at: Option<i64> = match row.try_get("last_used_at") {
        Err(sqlx::Error::ColumnNotFound(_)) => return Ok(None),
        at => at?,
    };
    let Some(at) = at.map(Timestamp::from_micros) else { return Ok(None) };
    let from: Option<&str> = row.try_get("last_used_from")?;
    Ok(Some(Box::new(LastUse { at, from: from.map(str::parse).transpose()? })))
}

/// Reads the record of a lookup; see the statement in `store.rs` for its columns.
pub(crate) fn record(row: &SqliteRow) -> Result<KeyRecord, DecodeError> {
    let key = key(row)?;
    let owner = terms(row, ("owner_limits", "owner_budgets"))?;
    let tenant = terms(row, ("tenant_limits", "tenant_budgets"))?;
    let (group, of_group) = match key.group {
        Some(_) => (Some(group_access(row)?), terms(row, ("group_limits", "group_budgets"))?),
        None => (None, Terms::default()),
    };
    let rate_multiplier: Option<&str> = row.try_get("rate_multiplier")?;
    Ok(KeyRecord {
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
        secret: SecretId::from_bytes(row.try_get::<&[u8], _>("secret_id")?.try_into()?),
        secret_ends_at: time(row, "secret_ends_at")?,
        tenant: row.try_get::<&str, _>("tenant_status")?.parse()?,
        owner: row.try_get::<&str, _>("owner_status")?.parse()?,
        group,
        limits: key.applied_limits(&owner.limits, &of_group.limits, &tenant.limits),
        budgets: key.applied_budgets(&owner.budgets, &of_group.budgets, &tenant.budgets),
        rate_multiplier: rate_multiplier.map(str::parse).transpose()?.unwrap_or_default(),
        key,
    })
}

pub(crate) fn group_access(row: &SqliteRow) -> Result<GroupAccess, DecodeError> {
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

pub(crate) fn version(row: &SqliteRow, column: &str) -> Result<Version, DecodeError> {
    Ok(Version::try_from(row.try_get::<i64, _>(column)?)?)
}

pub(crate) fn time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, DecodeError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
}

/// Reads what there must be one of.
pub(crate) async fn one<T>(
    connection: &mut SqliteConnection,
    statement: Statement<'_>,
    decode: impl Fn(&SqliteRow) -> Result<T, DecodeError>,
) -> Result<T, StoreError> {
    match statement.fetch_optional(connection).await.map_err(StoreError::unavailable)? {
        Some(row) => decode(&row).map_err(StoreError::unavailable),
        None => Err(StoreErrorKind::NotFound.into()),
    }
}

/// Reads what there is any number of.
pub(crate) async fn all<T>(
    connection: &mut SqliteConnection,
    statement: Statement<'_>,
    decode: impl Fn(&SqliteRow) -> Result<T, DecodeError>,
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

fn terms(row: &SqliteRow, (limits, budgets): (&str, &str)) -> Result<Terms, DecodeError> {
    Ok(Terms { limits: json(row, limits)?, budgets: json(row, budgets)? })
}

pub(crate) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, DecodeError> {
    let text = row.try_get::<&str, _>(column)?;
    let decode = |error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error };
    serde_json::from_str(text).map_err(|error| decode(error.into()).into())
}
