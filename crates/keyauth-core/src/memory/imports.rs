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
            state.require_new_request(self.request.as_ref())?;
            state.require_tenant(&key.tenant)?;
            let twice = |old: &Imported| old.fingerprint == secret.fingerprint;
            if state.imported.iter().any(twice) {
                return Err(StoreErrorKind::Taken.into());
            }
            let waiting = state.imported.iter().filter(|old| old.hash.is_some());
            let alike = waiting.filter(|old| old.lookup == secret.lookup).count();
            if alike >= Self::MOST_ALIKE {
                return Err(NewImport::too_many_alike().into());
            }
            state.insert_key(key)?;
            state.note_request(self.request.as_ref(), key.id);
            let first = Secret { id: secret.id, key: key.id, ends_at: None };
            state.note_secret((&key.tenant, key.id), None, Some(&first));
            state.imported.push(Imported {
                lookup: secret.lookup,
                hash: Some(secret.hash.clone()),
                fingerprint: secret.fingerprint,
                secret: first,
            });
            Ok(())
        })
    }

    async fn imported(
        &self,
        lookups: &[KeyDigest],
    ) -> Result<Vec<(SecretId, ImportedHash)>, LookupError> {
        let state = self.read();
        let found = state.imported.iter().filter(|imported| lookups.contains(&imported.lookup));
        let waiting = found
            .filter_map(|imported| imported.hash.clone().map(|hash| (imported.secret.id, hash)));
        Ok(waiting.collect())
    }

    async fn replace_imported(&self, secret: &NewSecret) -> Result<(), StoreError> {
        self.change(|state| {
            let of_it = |imported: &&mut Imported| imported.secret.id == secret.id;
            let Some(imported) = state.imported.iter_mut().find(of_it) else { return Ok(()) };
            let waited = imported.hash.take().is_some();
            let (old, key) = (imported.secret.clone(), imported.secret.key);
            // Whoever finds it done may not have been told.
            state.history.push(Change::NewSecret(secret.digest));
            if !waited || state.secrets.contains_key(&secret.digest) {
                return Ok(());
            }
            state.secrets.insert(secret.digest, old);
            state.raise(Subject::Key(key));
            Ok(())
        })
    }
}
