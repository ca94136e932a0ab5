//! What people ask for when they issue a key.

use std::time::Duration;

use serde_json::Value;

use super::InvalidInput;
use super::field::Fields;
use crate::{
    AddressRules, Budget, GroupId, Key, KeyHint, KeyId, KeyPrefix, KeyStatus, Keyring, Limit,
    Metadata, OwnerId, PlaintextKey, TenantId, Timestamp,
};

/// A key to be issued. Only the name is required.
///
/// Nothing is checked until the key is issued; then every problem is named at once.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use keyauth_core::{Limit, NewKey};
///
/// let key = NewKey::named("nightly export")
///     .owner("ada")
///     .scope("reports:read")
///     .allow_address("192.0.2.0/24")
///     .limit(Limit::per_minute(100))
///     .expires_in(Duration::from_secs(90 * 24 * 3_600));
/// # let _ = key;
/// ```
#[derive(Debug)]
pub struct NewKey {
    name: String,
    tenant: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    prefix: Option<String>,
    custom: Option<PlaintextKey>,
    scopes: Vec<String>,
    allow: Vec<String>,
    deny: Vec<String>,
    endpoints: Vec<String>,
    resources: Vec<String>,
    limits: Vec<Limit>,
    budgets: Vec<Budget>,
    metadata: Metadata,
    starts_at: Option<Timestamp>,
    expiry: Expiry,
}

#[derive(Clone, Copy, Debug)]
enum Expiry {
    Never,
    At(Timestamp),
    In(Duration),
}

impl NewKey {
    /// A key by this name, 1 to 256 bytes without control characters; the rest at its default.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tenant: None,
            owner: None,
            group: None,
            prefix: None,
            custom: None,
            scopes: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            endpoints: Vec::new(),
            resources: Vec::new(),
            limits: Vec::new(),
            budgets: Vec::new(),
            metadata: Metadata::default(),
            starts_at: None,
            expiry: Expiry::Never,
        }
    }

    /// The tenant, which must exist. Otherwise the default one, which always does.
    #[must_use]
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// The owner. One that does not exist yet is created, active.
    #[must_use]
    pub fn owner(self, owner: impl Into<String>) -> Self {
        Self { owner: Some(owner.into()), ..self }
    }

    /// Binds the key to a group, which must exist.
    #[must_use]
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// One of the keyring's prefixes, instead of its first.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: Some(prefix.into()), ..self }
    }

    /// A key of the holder's own choosing: 16 to 128 characters of `[A-Za-z0-9_-]` that do
    /// not begin with a prefix of ours. Keyring and tenant must both allow custom keys.
    #[must_use]
    pub fn custom(self, key: &str) -> Self {
        Self { custom: Some(PlaintextKey::custom(key)), ..self }
    }

    /// Grants one more scope.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Allows one more address or network; once there is one, all others are refused.
    #[must_use]
    pub fn allow_address(mut self, pattern: impl Into<String>) -> Self {
        self.allow.push(pattern.into());
        self
    }

    /// Denies one more address or network.
    #[must_use]
    pub fn deny_address(mut self, pattern: impl Into<String>) -> Self {
        self.deny.push(pattern.into());
        self
    }

    /// Allows one more endpoint, like `GET /reports/*`; once there is one, all others are
    /// refused. See [`EndpointRule`](crate::EndpointRule).
    #[must_use]
    pub fn endpoint(mut self, rule: impl Into<String>) -> Self {
        self.endpoints.push(rule.into());
        self
    }

    /// Allows one more resource, like `gpt-4*`; once there is one, all others are refused.
    #[must_use]
    pub fn resource(mut self, pattern: impl Into<String>) -> Self {
        self.resources.push(pattern.into());
        self
    }

    /// Adds a rate limit.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Adds a budget.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budgets.push(budget);
        self
    }

    /// Adds a value to the metadata, in place of one by the same name.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// The first instant the key works.
    #[must_use]
    pub fn starts_at(self, start: Timestamp) -> Self {
        Self { starts_at: Some(start), ..self }
    }

    /// The first instant the key no longer works.
    #[must_use]
    pub fn expires_at(self, end: Timestamp) -> Self {
        Self { expiry: Expiry::At(end), ..self }
    }

    /// How long the key works, counted from when it is issued.
    #[must_use]
    pub fn expires_in(self, lifetime: Duration) -> Self {
        Self { expiry: Expiry::In(lifetime), ..self }
    }

    /// Checks everything and takes it apart: the key but for its hint, the prefix to
    /// generate a secret under, and the custom secret where there is one.
    pub(super) fn check(
        self,
        id: KeyId,
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<(Key, KeyPrefix, Option<PlaintextKey>), InvalidInput> {
        let mut fields = Fields::default();
        let name = fields.name(&self.name);
        let tenant = self.tenant.and_then(|text| fields.read("tenant", TenantId::new(text)));
        let owner = self.owner.and_then(|text| fields.read("owner", OwnerId::new(text)));
        let group = self.group.and_then(|text| fields.read("group", GroupId::new(text)));
        let prefix = self.prefix.and_then(|text| fields.read("prefix", KeyPrefix::new(text)));
        let prefix = prefix.unwrap_or_else(|| keyring.default_prefix());
        fields.prefix(&prefix, keyring);
        if let Some(custom) = &self.custom {
            fields.custom_key(custom, keyring);
        }
        let expires_at = match self.expiry {
            Expiry::Never => None,
            Expiry::At(end) => Some(end),
            Expiry::In(lifetime) => Some(now.saturating_add(lifetime)),
        };
        fields.lifetime(self.starts_at, expires_at, now);
        let key = Key {
            id,
            tenant: tenant.unwrap_or_default(),
            owner: owner.unwrap_or_default(),
            group,
            name,
            hint: KeyHint::from_stored(""),
            status: KeyStatus::Active,
            scopes: fields.scopes(&self.scopes),
            addresses: AddressRules {
                allow: fields.addresses("addresses.allow", &self.allow),
                deny: fields.addresses("addresses.deny", &self.deny),
            },
            endpoints: fields.endpoints(&self.endpoints),
            resources: fields.resources(&self.resources),
            limits: fields.key_limits(self.limits),
            budgets: fields.key_budgets(self.budgets),
            metadata: fields.metadata(self.metadata),
            starts_at: self.starts_at,
            expires_at,
            created_at: now,
            updated_at: now,
            last_use: None,
            revoked_at: None,
        };
        fields.finish((key, prefix, self.custom))
    }
}
