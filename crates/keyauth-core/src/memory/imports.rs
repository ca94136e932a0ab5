//! Keys of other systems.

use super::state::Imported;
use super::{MemoryStore, Secret};
use crate::{
    Change, ImportStore, ImportedHash, Key, KeyDigest, LookupError, NewImport, NewSecret, SecretId,
    StoreError, StoreErrorKind, Subject,
};

impl ImportStore for MemoryStore {
    async fn insert_imported(&self, key: &Key, secret: &NewImport) -> Result<(), StoreError> {
        self.change(|state| {
            state.require_tenant(&key.tenant)?;
            let alike = state.imported.iter().filter(|old| old.lookup == secret.lookup).count();
            if !secret.hash.algorithm().is_slow() && alike > 0 {
                return Err(StoreErrorKind::Taken.into());
            }
            if alike >= Self::MOST_ALIKE {
                return Err(NewImport::too_many_alike().into());
            }
            state.insert_key(key)?;
            let first = Secret { id: secret.id, key: key.id, ends_at: None };
            state.note_secret((&key.tenant, key.id), None, Some(&first));
            let (lookup, hash) = (secret.lookup, secret.hash.clone());
            state.imported.push(Imported { lookup, hash, secret: first });
            Ok(())
        })
    }

    async fn imported(
        &self,
        lookups: &[KeyDigest],
    ) -> Result<Vec<(SecretId, ImportedHash)>, LookupError> {
        let state = self.read();
        let found = state.imported.iter().filter(|imported| lookups.contains(&imported.lookup));
        Ok(found.map(|imported| (imported.secret.id, imported.hash.clone())).collect())
    }

    async fn replace_imported(&self, secret: &NewSecret) -> Result<(), StoreError> {
        self.change(|state| {
            let at = state.imported.iter().position(|imported| imported.secret.id == secret.id);
            let Some(at) = at.filter(|_| !state.secrets.contains_key(&secret.digest)) else {
                return Ok(());
            };
            let Imported { secret: old, .. } = state.imported.swap_remove(at);
            let key = old.key;
            state.secrets.insert(secret.digest, old);
            state.history.push(Change::NewSecret(secret.digest));
            state.raise(Subject::Key(key));
            Ok(())
        })
    }
}
