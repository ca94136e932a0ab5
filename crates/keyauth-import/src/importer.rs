//! Recognising a key.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use argon2::{Argon2, PasswordVerifier};
use keyauth_core::{
    HashAlgorithm, ImportStore, ImportedHash, Importer, KeyDigest, LookupError, PlaintextKey,
};
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a request waits for the store, and for its turn.
const DEADLINE: Duration = Duration::from_secs(1);
/// How many may wait for a turn.
const WAITING: usize = 256;
/// How many keys are remembered as nobody's, and for how long: whoever presents one again costs
/// nothing meanwhile, and what is imported meanwhile is known after that.
const REFUSED: u64 = 10_000;
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// What bcrypt looks at, in bytes.
const BCRYPT_LEN: usize = 72;

/// Verifies keys against the hashes that a store has imported.
///
/// See the [crate docs](crate) for an example. Cloning gives another handle to the same turns.
pub struct KeyImporter<S> {
    store: S,
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    refused: Cache<KeyDigest, ()>,
}

impl<S> KeyImporter<S> {
    /// Verifies on half of the processors at once.
    pub fn new(store: S) -> Self {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        Self::of(store, processors.div_ceil(2))
    }

    /// Verifies so many slow hashes at once.
    #[must_use]
    pub fn with_at_once(self, count: NonZeroUsize) -> Self {
        Self::of(self.store, count.get())
    }

    fn of(store: S, count: usize) -> Self {
        let refused = Cache::builder().max_capacity(REFUSED).time_to_live(REFUSED_FOR).build();
        Self { store, turns: Arc::new(Semaphore::new(count)), waiting: Arc::default(), refused }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, LookupError> {
        let _waiting = Waiting::begin(&self.waiting)?;
        let turn = timeout(DEADLINE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| LookupError::overloaded())?;
        turn.map_err(LookupError::unavailable)
    }

    async fn verify(
        &self,
        key: &Arc<PlaintextKey>,
        hash: ImportedHash,
    ) -> Result<bool, LookupError> {
        if let Some(verified) = hash.verify_fast(key.reveal().as_bytes()) {
            return Ok(verified);
        }
        let (turn, key) = (self.turn().await?, Arc::clone(key));
        let verified = spawn_blocking(move || {
            let verified = verify_slowly(key.reveal(), &hash);
            // Kept until now, also where nobody waits any more.
            drop(turn);
            verified
        });
        verified.await.map_err(LookupError::unavailable)
    }
}

impl<S: Clone> Clone for KeyImporter<S> {
    fn clone(&self) -> Self {
        let (turns, waiting) = (Arc::clone(&self.turns), Arc::clone(&self.waiting));
        Self { store: self.store.clone(), turns, waiting, refused: self.refused.clone() }
    }
}

impl<S> fmt::Debug for KeyImporter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyImporter")
            .field("free_turns", &self.turns.available_permits())
            .finish_non_exhaustive()
    }
}

impl<S: ImportStore> Importer for KeyImporter<S> {
    async fn recognise(&self, key: PlaintextKey) -> Result<(), LookupError> {
        let lookups = key.import_lookups();
        // The last one is of the whole key.
        let whole = lookups.last().copied();
        if whole.is_some_and(|whole| self.refused.contains_key(&whole)) {
            return Ok(());
        }
        let imported = timeout(DEADLINE, self.store.imported(&lookups)).await;
        let key = Arc::new(key);
        for (id, hash) in imported.map_err(LookupError::unavailable)?? {
            let algorithm = hash.algorithm();
            if self.verify(&key, hash).await? {
                let recognised = timeout(DEADLINE, self.store.recognise(id, &key)).await;
                let recognised = recognised.map_err(LookupError::unavailable)?;
                recognised.map_err(LookupError::unavailable)?;
                tracing::debug!(
                    algorithm = algorithm.as_str(),
                    "an imported key was presented for the first time"
                );
                return Ok(());
            }
        }
        if let Some(whole) = whole {
            self.refused.insert(whole, ());
        }
        Ok(())
    }
}

/// A hash that cannot be verified is not that of the key: it was read when it was imported.
fn verify_slowly(key: &str, hash: &ImportedHash) -> bool {
    match hash.algorithm() {
        HashAlgorithm::Bcrypt => {
            // A longer one could be anybody's that begins so.
            key.len() <= BCRYPT_LEN && bcrypt::verify(key, hash.as_str()).unwrap_or_default()
        }
        HashAlgorithm::Argon2 => {
            Argon2::default().verify_password(key.as_bytes(), hash.as_str()).is_ok()
        }
        _ => false,
    }
}

/// A place among those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Result<Self, LookupError> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) < WAITING {
            Ok(place)
        } else {
            Err(LookupError::overloaded())
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
