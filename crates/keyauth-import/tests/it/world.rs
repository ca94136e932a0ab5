//! A store behind a cache, with an importer.

use std::num::NonZeroUsize;

use keyauth_cache::CachedLookup;
use keyauth_core::{
    Authenticator, Background, Denial, ImportStore, ImportedSecret, Issuer, Key, Keyring,
    LookupError, LookupErrorKind, MemoryStore, NewKey, RequestFacts,
};
use keyauth_import::KeyImporter;
use keyauth_testkit::Gated;

/// What became of a presented key.
pub(crate) type Verdict = Result<Result<(), Denial>, LookupErrorKind>;

pub(crate) const ADMITTED: Verdict = Ok(Ok(()));
pub(crate) const UNKNOWN: Verdict = Ok(Err(Denial::InvalidKey));

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    /// Counts what gets past the cache.
    pub(crate) gate: Gated<MemoryStore>,
    pub(crate) auth: Authenticator,
    pub(crate) importer: KeyImporter<MemoryStore>,
    pub(crate) background: Background,
}

impl World {
    pub(crate) fn start() -> Self {
        let issuer = Issuer::new().with_keyring(Keyring::new().with_imported_keys());
        let store = MemoryStore::with_issuer(issuer);
        let gate = Gated::new(store.clone());
        let importer = KeyImporter::new(store.clone()).with_at_once(NonZeroUsize::MIN);
        let lookup = CachedLookup::new(gate.clone());
        let auth = Authenticator::new(lookup).with_importer(importer.clone());
        let (auth, background) = auth.start();
        Self { store, gate, auth, importer, background }
    }

    /// Imports a key by its bcrypt hash.
    pub(crate) async fn import(&self, text: &str, cost: u32) -> Key {
        let hash = bcrypt::hash(text, cost).expect("randomness");
        self.import_hash(&hash, &text[..8]).await
    }

    pub(crate) async fn import_hash(&self, hash: &str, begins_with: &str) -> Key {
        let hash = ImportedSecret::new(hash.parse().expect("a hash")).begins_with(begins_with);
        self.store.import(NewKey::named("from before"), hash).await.expect("imported")
    }

    pub(crate) async fn verify(&self, text: &str) -> Verdict {
        let decision = self.auth.verify(text, &RequestFacts::new()).await;
        decision.map(|judged| judged.map(drop)).map_err(|error: LookupError| error.kind())
    }
}
