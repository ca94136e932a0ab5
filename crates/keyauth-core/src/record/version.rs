//! Versions: what tells an old record from a new one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::KeyRecord;
use crate::Subject;

/// The version of a subject: raised by the store in the transaction that changes it, and by
/// nothing else. It only grows, also where a subject is deleted and made anew.
///
/// No clock and no order of arrival has a part in it: of two records of one subject, that
/// with the higher version is the newer one, wherever they come from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// Below every version a store gives.
    pub const ZERO: Self = Self(0);

    /// Takes a version from a store.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number to store.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl TryFrom<i64> for Version {
    type Error = std::num::TryFromIntError;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        u64::try_from(number).map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The versions a record was read at: of its key, of those the key belongs to, and of all.
///
/// A record is good for a change exactly when its version of the change's subject is at
/// least the change's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Versions {
    /// Of what stands for all records at once.
    pub everything: Version,
    /// Of the tenant.
    pub tenant: Version,
    /// Of the owner, raised by changes of its memberships and subscriptions too.
    pub owner: Version,
    /// Of the group; zero where the key has none.
    pub group: Version,
    /// Of the key, raised by changes of its secrets too.
    pub key: Version,
}

impl Versions {
    /// Whether a record of these is newer than one of the same key with the others.
    ///
    /// The key's own version decides. Only where that is the same are the others of the same
    /// subjects: a key that changed its group has raised its version with that.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.key > other.key
            || self.key == other.key
                && (self.everything > other.everything
                    || self.tenant > other.tenant
                    || self.owner > other.owner
                    || self.group > other.group)
    }
}

impl KeyRecord {
    /// Every subject that decides about the record, and the version it was read at.
    pub fn subjects(&self) -> impl Iterator<Item = (Subject, Version)> + '_ {
        let Self { key, versions, .. } = self;
        let tenant = &key.tenant;
        let group = key.group.as_ref();
        let group = group.map(|id| (Subject::Group(tenant.clone(), id.clone()), versions.group));
        [
            (Subject::Everything, versions.everything),
            (Subject::Tenant(tenant.clone()), versions.tenant),
            (Subject::Owner(tenant.clone(), key.owner.clone()), versions.owner),
            (Subject::Key(key.id), versions.key),
        ]
        .into_iter()
        .chain(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_version_decides_before_the_others() {
        let versions = |key, group| Versions {
            key: Version::new(key),
            group: Version::new(group),
            ..Versions::default()
        };
        assert!(versions(7, 0).is_newer_than(&versions(5, 100)), "it has left its group");
        assert!(!versions(5, 100).is_newer_than(&versions(7, 0)));
        assert!(versions(5, 101).is_newer_than(&versions(5, 100)));
        assert!(!versions(5, 100).is_newer_than(&versions(5, 100)));
    }
}
