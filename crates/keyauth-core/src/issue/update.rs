//! What people ask for when they change a key.

use std::sync::Arc;

use super::field::Fields;
use super::{InvalidInput, Problem};
use crate::{
    AddressSet, Budget, EndpointRules, GroupId, Key, Limit, Metadata, ResourceRules, Scopes,
    Timestamp,
};

/// A change to a key. What is not named stays as it is; an empty list clears.
///
/// # Example
///
/// ```
/// use keyauth_core::KeyUpdate;
///
/// // Any address from now on; scopes, name and all else unchanged.
/// let update = KeyUpdate::new().allow_addresses([""; 0]);
/// # let _ = update;
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyUpdate {
    name: Option<String>,
    group: Patch<String>,
    scopes: Option<Vec<String>>,
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    endpoints: Option<Vec<String>>,
    resources: Option<Vec<String>>,
    limits: Option<Vec<Limit>>,
    budgets: Option<Vec<Budget>>,
    metadata: Option<Metadata>,
    starts_at: Patch<Timestamp>,
    expires_at: Patch<Timestamp>,
}

/// What becomes of a value that need not be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Patch<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It goes.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T> Patch<T> {
    fn and_then<U>(self, f: impl FnOnce(T) -> Option<U>) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            // A value that could not be read is a problem already noted.
            Self::Set(value) => f(value).map_or(Patch::Keep, Patch::Set),
        }
    }

    /// The new value, or `None` for none; `old` where it stays.
    pub fn apply_to(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Option<Vec<String>> {
    Some(texts.into_iter().map(Into::into).collect())
}

impl KeyUpdate {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it another name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Binds it to a group, which must exist.
    #[must_use]
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Patch::Set(group.into()), ..self }
    }

    /// Binds it to no group.
    #[must_use]
    pub fn without_group(self) -> Self {
        Self { group: Patch::Clear, ..self }
    }

    /// Replaces its scopes.
    #[must_use]
    pub fn scopes<T: Into<String>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        Self { scopes: texts(scopes), ..self }
    }

    /// Replaces the addresses it may be used from; none means all.
    #[must_use]
    pub fn allow_addresses<T: Into<String>>(self, patterns: impl IntoIterator<Item = T>) -> Self {
        Self { allow: texts(patterns), ..self }
    }

    /// Replaces the addresses it may not be used from.
    #[must_use]
    pub fn deny_addresses<T: Into<String>>(self, patterns: impl IntoIterator<Item = T>) -> Self {
        Self { deny: texts(patterns), ..self }
    }

    /// Replaces the endpoints it may call; none means all.
    #[must_use]
    pub fn endpoints<T: Into<String>>(self, rules: impl IntoIterator<Item = T>) -> Self {
        Self { endpoints: texts(rules), ..self }
    }

    /// Replaces the resources it may use; none means all.
    #[must_use]
    pub fn resources<T: Into<String>>(self, patterns: impl IntoIterator<Item = T>) -> Self {
        Self { resources: texts(patterns), ..self }
    }

    /// Replaces its rate limits.
    #[must_use]
    pub fn limits(self, limits: impl IntoIterator<Item = Limit>) -> Self {
        Self { limits: Some(limits.into_iter().collect()), ..self }
    }

    /// Replaces its budgets.
    #[must_use]
    pub fn budgets(self, budgets: impl IntoIterator<Item = Budget>) -> Self {
        Self { budgets: Some(budgets.into_iter().collect()), ..self }
    }

    /// Replaces its metadata as a whole.
    #[must_use]
    pub fn metadata(self, metadata: impl Into<Metadata>) -> Self {
        Self { metadata: Some(metadata.into()), ..self }
    }

    /// The first instant it works.
    #[must_use]
    pub fn starts_at(self, start: Timestamp) -> Self {
        Self { starts_at: Patch::Set(start), ..self }
    }

    /// It works from the start.
    #[must_use]
    pub fn without_start(self) -> Self {
        Self { starts_at: Patch::Clear, ..self }
    }

    /// The first instant it no longer works.
    #[must_use]
    pub fn expires_at(self, end: Timestamp) -> Self {
        Self { expires_at: Patch::Set(end), ..self }
    }

    /// It works until it is revoked.
    #[must_use]
    pub fn without_expiry(self) -> Self {
        Self { expires_at: Patch::Clear, ..self }
    }

    /// Checks everything that was named.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] with every problem.
    pub fn check(self, now: Timestamp) -> Result<KeyPatch, InvalidInput> {
        let mut fields = Fields::default();
        if let Patch::Set(end) = self.expires_at {
            let start = if let Patch::Set(start) = self.starts_at { Some(start) } else { None };
            fields.lifetime(start, Some(end), now);
        }
        let patch = KeyPatch {
            name: self.name.map(|name| fields.name(&name)),
            group: self.group.and_then(|text| fields.read("group", GroupId::new(text))),
            scopes: self.scopes.map(|scopes| fields.scopes(&scopes)),
            allow: self.allow.map(|patterns| fields.addresses("addresses.allow", &patterns)),
            deny: self.deny.map(|patterns| fields.addresses("addresses.deny", &patterns)),
            endpoints: self.endpoints.map(|rules| fields.endpoints(&rules)),
            resources: self.resources.map(|patterns| fields.resources(&patterns)),
            limits: self.limits.map(|limits| fields.key_limits(limits)),
            budgets: self.budgets.map(|budgets| fields.key_budgets(budgets)),
            metadata: self.metadata.map(|metadata| fields.metadata(metadata)),
            starts_at: self.starts_at,
            expires_at: self.expires_at,
            updated_at: now,
        };
        fields.finish(patch)
    }
}

/// A checked [`KeyUpdate`]: the columns a store writes, and no others.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPatch {
    /// The new name.
    pub name: Option<Arc<str>>,
    /// The new group, which the store checks for existence.
    pub group: Patch<GroupId>,
    /// The new scopes.
    pub scopes: Option<Scopes>,
    /// The new addresses to allow.
    pub allow: Option<AddressSet>,
    /// The new addresses to deny.
    pub deny: Option<AddressSet>,
    /// The new endpoint rules.
    pub endpoints: Option<EndpointRules>,
    /// The new resource rules.
    pub resources: Option<ResourceRules>,
    /// The new limits.
    pub limits: Option<Box<[Limit]>>,
    /// The new budgets.
    pub budgets: Option<Box<[Budget]>>,
    /// The new metadata.
    pub metadata: Option<Metadata>,
    /// The new start.
    pub starts_at: Patch<Timestamp>,
    /// The new end.
    pub expires_at: Patch<Timestamp>,
    /// When the change is made.
    pub updated_at: Timestamp,
}

impl KeyPatch {
    /// The key as the changes leave it: what a store writes, column by column.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] where the key would end before it begins, which can only be seen
    /// with both its old and its new times at hand.
    pub fn applied_to(&self, key: &Key) -> Result<Key, InvalidInput> {
        let mut key = key.clone();
        if let Some(name) = &self.name {
            key.name = Arc::clone(name);
        }
        key.group = self.group.clone().apply_to(key.group);
        replace(&mut key.scopes, &self.scopes);
        replace(&mut key.addresses.allow, &self.allow);
        replace(&mut key.addresses.deny, &self.deny);
        replace(&mut key.endpoints, &self.endpoints);
        replace(&mut key.resources, &self.resources);
        replace(&mut key.limits, &self.limits);
        replace(&mut key.budgets, &self.budgets);
        replace(&mut key.metadata, &self.metadata);
        key.starts_at = self.starts_at.apply_to(key.starts_at);
        key.expires_at = self.expires_at.apply_to(key.expires_at);
        key.updated_at = self.updated_at;
        match (key.starts_at, key.expires_at) {
            (Some(start), Some(end)) if end <= start => {
                Err(Problem::new("expires_at", "must be later than starts_at").into())
            }
            _ => Ok(key),
        }
    }
}

fn replace<T: Clone>(value: &mut T, change: &Option<T>) {
    if let Some(new) = change {
        *value = new.clone();
    }
}
