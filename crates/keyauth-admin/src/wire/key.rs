//! Keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    EndpointRules, GroupId, ImportedHash, ImportedSecret, IssuedKey, Key, KeyId, KeyStatus,
    KeyUpdate, Metadata, NewKey, OwnerId, Patch, Problem, Propagation, ResourceRules, Rotation,
    Scopes, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{BudgetBody, LimitBody, Text, given, patch};
use crate::problem::ApiError;

/// A hundred years, in seconds.
const LONGEST: u64 = 3_155_760_000;

/// A key to be issued.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey, example = json!({"name": "nightly export", "owner": "ada"}))]
pub(crate) struct NewKeyBody {
    /// What people call it.
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    /// For whom it speaks; `default` otherwise. One that is new is created.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    owner: Option<String>,
    /// Binds it to a group, which must be open to the owner.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    group: Option<String>,
    /// One of the server's prefixes, instead of its first.
    #[schema(max_length = 32, pattern = "^[a-z][a-z0-9_]*$")]
    prefix: Option<String>,
    /// A key of the holder's own choosing, where server and tenant allow that.
    #[schema(min_length = 16, max_length = 128, pattern = "^[A-Za-z0-9_-]+$")]
    custom_key: Option<String>,
    /// What it may do. None but one's own can be given.
    #[serde(default)]
    scopes: Vec<String>,
    /// From where it may be used.
    #[serde(default)]
    addresses: AddressesBody,
    /// What it may call, like `GET /reports/*`; all where empty.
    #[serde(default)]
    endpoints: Vec<String>,
    /// What it may use, like `gpt-4*`; all where empty.
    #[serde(default)]
    resources: Vec<String>,
    /// How often it may be used.
    #[serde(default)]
    #[schema(max_items = 64)]
    limits: Vec<LimitBody>,
    /// How much it may spend.
    #[serde(default)]
    #[schema(max_items = 64)]
    budgets: Vec<BudgetBody>,
    /// Whatever the application wants to know of it: 16 KiB at most.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// The first instant it works (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    starts_at: Option<Text<Timestamp>>,
    /// The first instant it no longer works (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Text<Timestamp>>,
    /// How long it works, in seconds, instead.
    #[schema(minimum = 1, maximum = 3_155_760_000_u64)]
    expires_in: Option<u64>,
}

/// A key of another system, to be taken over.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewImport)]
pub(crate) struct ImportBody {
    /// What it is to be here; without a custom key.
    key: NewKeyBody,
    /// Its hash, as bcrypt and argon2 write theirs; of SHA-256 and SHA-512 in hexadecimal digits
    /// or base64.
    #[schema(max_length = 512)]
    hash: String,
    /// How it begins: 4 to 32 characters, for a hash that is slow.
    #[schema(min_length = 4, max_length = 32, pattern = "^[!-~]+$")]
    begins_with: Option<String>,
}

/// From where a key may be used: addresses and networks.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Addresses)]
struct AddressesBody {
    /// Only from these; all where empty.
    #[serde(default)]
    allow: Vec<String>,
    /// Not from these.
    #[serde(default)]
    deny: Vec<String>,
}

/// A change of addresses: what is absent stays as it is, an empty list clears.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AddressesUpdate)]
struct AddressesUpdateBody {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>, required = false)]
    allow: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>, required = false)]
    deny: Option<Vec<String>>,
}

/// A change to a key: what is absent stays as it is, an empty list clears, and so does `null` what
/// need not be there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyUpdate)]
pub(crate) struct KeyUpdateBody {
    /// What people call it.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        value_type = String, required = false, min_length = 1, max_length = 256
    )]
    name: Option<String>,
    /// Binds it to a group; to none with `null`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    group: Patch<String>,
    /// What it may do. All of them must be one's own, or be given by who may give any.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>, required = false)]
    pub(crate) scopes: Option<Vec<String>>,
    /// From where.
    #[serde(default)]
    addresses: AddressesUpdateBody,
    /// What it may call.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>, required = false)]
    endpoints: Option<Vec<String>>,
    /// What it may use.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>, required = false)]
    resources: Option<Vec<String>>,
    /// How often.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<LimitBody>, required = false, max_items = 64)]
    limits: Option<Vec<LimitBody>>,
    /// For how much.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<BudgetBody>, required = false, max_items = 64)]
    budgets: Option<Vec<BudgetBody>>,
    /// All of its metadata.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Object, required = false)]
    metadata: Option<Map<String, Value>>,
    /// The first instant it works; from the start with `null`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>, format = DateTime)]
    starts_at: Patch<Text<Timestamp>>,
    /// The first instant it no longer works; never with `null`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Patch<Text<Timestamp>>,
}

/// How a key is to get a new secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation)]
pub(crate) struct RotationBody {
    /// How long the old secret goes on working, in seconds; not at all where it is 0.
    #[serde(default)]
    #[schema(maximum = 3_155_760_000_u64)]
    grace: u64,
    /// A secret of the holder's own choosing.
    #[schema(min_length = 16, max_length = 128, pattern = "^[A-Za-z0-9_-]+$")]
    custom_key: Option<String>,
}

/// A key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyView {
    /// Stays the same through every rotation.
    #[schema(value_type = String, format = "uuid")]
    id: KeyId,
    #[schema(value_type = String)]
    tenant: TenantId,
    #[schema(value_type = String)]
    owner: OwnerId,
    #[schema(value_type = Option<String>)]
    group: Option<GroupId>,
    #[schema(value_type = String)]
    name: Arc<str>,
    /// The beginning of its newest secret; empty where that is too short to show any of it.
    hint: String,
    #[schema(value_type = String, pattern = "^(active|disabled|revoked)$")]
    status: KeyStatus,
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
    addresses: AddressesBody,
    #[schema(value_type = Vec<String>)]
    endpoints: EndpointRules,
    #[schema(value_type = Vec<String>)]
    resources: ResourceRules,
    limits: Vec<LimitBody>,
    budgets: Vec<BudgetBody>,
    #[schema(value_type = Object)]
    metadata: Metadata,
    #[schema(value_type = Option<String>, format = DateTime)]
    starts_at: Option<Text<Timestamp>>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Text<Timestamp>>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Text<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Text<Timestamp>,
    /// When it was last used, as far as that has been written down.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Text<Timestamp>>,
    /// From where that was.
    #[schema(value_type = Option<String>)]
    last_used_from: Option<IpAddr>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Text<Timestamp>>,
}

/// A key with a secret that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedKey)]
pub(crate) struct IssuedView {
    /// The text to hand to the holder, which cannot be had again: so it is `null` where the request
    /// had been done before, and what it was answered is lost. Rotate the key then.
    secret: Option<String>,
    /// The key.
    key: KeyView,
}

/// A key that was revoked, and who may still be serving it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevokedKey)]
pub(crate) struct RevokedView {
    /// The key.
    key: KeyView,
    /// Whether no instance lets it through any more; `null` where nobody has waited for that.
    complete: Option<bool>,
    /// Instances that have not said so.
    #[schema(value_type = Vec<String>)]
    missing: Vec<Arc<str>>,
}

/// How many keys a deletion has stopped or let go.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedKeys {
    /// How many.
    pub(crate) keys: u64,
}

impl NewKeyBody {
    pub(crate) fn scopes(&self) -> &[String] {
        &self.scopes
    }

    pub(crate) fn read(self, tenant: &TenantId) -> Result<NewKey, ApiError> {
        let mut new = NewKey::named(self.name).tenant(tenant.as_str());
        if let Some(owner) = self.owner {
            new = new.owner(owner);
        }
        if let Some(group) = self.group {
            new = new.group(group);
        }
        if let Some(prefix) = self.prefix {
            new = new.prefix(prefix);
        }
        if let Some(custom) = self.custom_key {
            new = new.custom(&custom);
        }
        new = self.scopes.into_iter().fold(new, NewKey::scope);
        new = self.addresses.allow.into_iter().fold(new, NewKey::allow_address);
        new = self.addresses.deny.into_iter().fold(new, NewKey::deny_address);
        new = self.endpoints.into_iter().fold(new, NewKey::endpoint);
        new = self.resources.into_iter().fold(new, NewKey::resource);
        new = LimitBody::read_all(self.limits)?.into_iter().fold(new, NewKey::limit);
        new = BudgetBody::read_all(self.budgets)?.into_iter().fold(new, NewKey::budget);
        let metadata = self.metadata.into_iter();
        new = metadata.fold(new, |new, (name, value)| new.metadata(name, value));
        if let Some(Text(start)) = self.starts_at {
            new = new.starts_at(start);
        }
        match (self.expires_at, self.expires_in) {
            (None, None) => {}
            (Some(Text(end)), None) => new = new.expires_at(end),
            (None, Some(seconds)) if (1..=LONGEST).contains(&seconds) => {
                new = new.expires_in(Duration::from_secs(seconds));
            }
            (None, Some(_)) => {
                let message = format!("must be 1 to {LONGEST} seconds");
                return Err(Problem::new("expires_in", message).into());
            }
            (Some(_), Some(_)) => {
                return Err(Problem::new("expires_in", "is there beside expires_at").into());
            }
        }
        Ok(new)
    }
}

impl ImportBody {
    pub(crate) fn scopes(&self) -> &[String] {
        self.key.scopes()
    }

    pub(crate) fn read(self, tenant: &TenantId) -> Result<(NewKey, ImportedSecret), ApiError> {
        let hash = self.hash.parse::<ImportedHash>();
        let hash = hash.map_err(|error| Problem::new("hash", error.to_string()))?;
        let mut secret = ImportedSecret::new(hash);
        if let Some(prefix) = self.begins_with {
            secret = secret.begins_with(prefix);
        }
        Ok((self.key.read(tenant)?, secret))
    }
}

impl KeyUpdateBody {
    pub(crate) fn read(self) -> Result<KeyUpdate, ApiError> {
        let mut update = KeyUpdate::new();
        if let Some(name) = self.name {
            update = update.name(name);
        }
        update = match self.group {
            Patch::Set(group) => update.group(group),
            Patch::Clear => update.without_group(),
            _ => update,
        };
        if let Some(scopes) = self.scopes {
            update = update.scopes(scopes);
        }
        if let Some(allow) = self.addresses.allow {
            update = update.allow_addresses(allow);
        }
        if let Some(deny) = self.addresses.deny {
            update = update.deny_addresses(deny);
        }
        if let Some(endpoints) = self.endpoints {
            update = update.endpoints(endpoints);
        }
        if let Some(resources) = self.resources {
            update = update.resources(resources);
        }
        if let Some(limits) = self.limits {
            update = update.limits(LimitBody::read_all(limits)?);
        }
        if let Some(budgets) = self.budgets {
            update = update.budgets(BudgetBody::read_all(budgets)?);
        }
        if let Some(metadata) = self.metadata {
            update = update.metadata(metadata);
        }
        update = match self.starts_at {
            Patch::Set(Text(start)) => update.starts_at(start),
            Patch::Clear => update.without_start(),
            _ => update,
        };
        Ok(match self.expires_at {
            Patch::Set(Text(end)) => update.expires_at(end),
            Patch::Clear => update.without_expiry(),
            _ => update,
        })
    }
}

impl RotationBody {
    pub(crate) fn read(self) -> Result<Rotation, ApiError> {
        if self.grace > LONGEST {
            let message = format!("must be 0 to {LONGEST} seconds");
            return Err(Problem::new("grace", message).into());
        }
        let rotation = Rotation::with_grace(Duration::from_secs(self.grace));
        Ok(match self.custom_key {
            Some(custom) => rotation.custom(&custom),
            None => rotation,
        })
    }
}

impl From<Key> for KeyView {
    fn from(key: Key) -> Self {
        Self {
            id: key.id,
            tenant: key.tenant,
            owner: key.owner,
            group: key.group,
            name: key.name,
            hint: key.hint.as_str().to_owned(),
            status: key.status,
            scopes: key.scopes,
            addresses: AddressesBody {
                allow: key.addresses.allow.to_texts(),
                deny: key.addresses.deny.to_texts(),
            },
            endpoints: key.endpoints,
            resources: key.resources,
            limits: key.limits.iter().map(LimitBody::from).collect(),
            budgets: key.budgets.iter().map(BudgetBody::from).collect(),
            metadata: key.metadata,
            starts_at: key.starts_at.map(Text),
            expires_at: key.expires_at.map(Text),
            created_at: Text(key.created_at),
            updated_at: Text(key.updated_at),
            last_used_at: key.last_use.as_ref().map(|last| Text(last.at)),
            last_used_from: key.last_use.and_then(|last| last.from),
            revoked_at: key.revoked_at.map(Text),
        }
    }
}

impl IssuedView {
    pub(crate) fn new(issued: &IssuedKey) -> Self {
        Self { secret: Some(issued.reveal().to_owned()), key: issued.key().clone().into() }
    }

    /// Of a request that was done before.
    pub(crate) fn repeated(key: Key) -> Self {
        Self { secret: None, key: key.into() }
    }
}

impl RevokedView {
    pub(crate) fn new(key: Key, propagation: Option<&Propagation>) -> Self {
        Self {
            key: key.into(),
            complete: propagation.map(Propagation::is_complete),
            missing: propagation.map(Propagation::missing).unwrap_or_default().to_vec(),
        }
    }
}
