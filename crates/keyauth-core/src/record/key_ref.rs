//! How calls of the store name a key.

use super::{Key, KeyRecord};
use crate::{KeyId, TenantId};

/// A key named together with its tenant, so that no tenant reaches into another.
///
/// A bare [`KeyId`] names a key of the default tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRef {
    /// The tenant that must own the key.
    pub tenant: TenantId,
    /// The key.
    pub id: KeyId,
}

impl From<KeyId> for KeyRef {
    fn from(id: KeyId) -> Self {
        Self { tenant: TenantId::default(), id }
    }
}

impl From<(TenantId, KeyId)> for KeyRef {
    fn from((tenant, id): (TenantId, KeyId)) -> Self {
        Self { tenant, id }
    }
}

impl From<&Key> for KeyRef {
    fn from(key: &Key) -> Self {
        Self { tenant: key.tenant.clone(), id: key.id }
    }
}

impl From<&KeyRecord> for KeyRef {
    fn from(record: &KeyRecord) -> Self {
        Self::from(&record.key)
    }
}
