//! Recognising a key.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use keyauth_core::{
    ImportStore, ImportedHash, Importer, KeyDigest, LookupError, PlaintextKey, Recognition,
    SecretId,
};
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::verify::verify_slowly;

/// How long a request waits for the store, and for a turn.
const DEADLINE: Duration = Duration::from_secs(1);
/// How many ask the store at once: most of its connections are for others.
const ASKING: usize = 4;
/// How many keys are remembered as nobody's, and for how long: whoever presents one again costs
/// little meanwhile, and what is imported meanwhile is known after that.
const REFUSED: u64 = 10_000;
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Verifies keys against the hashes that a store has imported.
///
/// See the [crate docs](crate) for an example. Cloning gives another handle to the same turns.
#[derive(Clone)]
pub struct KeyImporter<S> {
    store: S,
    asking: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    refused: Cache<KeyDigest, ()>,
}

impl<S> KeyImporter<S> {
    /// Verifies on half of the processors at once.
    pub fn new(store: S) -> Self {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        Self::of(store, processors.div_ceil(2))
    }

    /// Verifies the slow hashes of so many keys at once.
    #[must_use]
    pub fn with_at_once(self, count: NonZeroUsize) -> Self {
        Self::of(self.store, count.get())
    }

    fn of(store: S, count: usize) -> Self {
        let refused = Cache::builder().max_capacity(REFUSED).time_to_live(REFUSED_FOR).build();
        let (asking, turns) = (Semaphore::new(ASKING), Semaphore::new(count));
        Self { store, asking: Arc::new(asking), turns: Arc::new(turns), refused }
    }
}

impl<S> fmt::Debug for KeyImporter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyImporter")
            .field("free_turns", &self.turns.available_permits())
            .finish_non_exhaustive()
    }
}

impl<S: ImportStore + Clone + 'static> Importer for KeyImporter<S> {
    async fn recognise(&self, key: PlaintextKey) -> Result<Recognition, LookupError> {
        let lookups = key.import_lookups();
        // The last one is of the whole key.
        let whole = lookups.last().copied();
        if whole.is_some_and(|whole| self.refused.contains_key(&whole)) {
            return Ok(Recognition::Nobodys);
        }
        let (slow, fast): (Vec<_>, _) =
            self.imported(&lookups).await?.into_iter().partition(is_slow);
        for (id, hash) in fast {
            if hash.verify_fast(key.reveal().as_bytes()) == Some(true) {
                self.recognised(id, &key, &hash).await?;
                return Ok(Recognition::LookAgain);
            }
        }
        let recognised = match slow.is_empty() {
            true => false,
            false => {
                let turn = turn(&self.turns).await?;
                let (importer, key) = (self.clone(), Arc::new(key));
                // In a task of its own: whoever goes away has paid for the most of it, and must not
                // have to pay again.
                let verified =
                    tokio::spawn(async move { importer.verify(&lookups, key, turn).await });
                verified.await.map_err(LookupError::unavailable)??
            }
        };
        if let Some(whole) = whole.filter(|_| !recognised) {
            self.refused.insert(whole, ());
        }
        // Also where it was not: somebody else may have recognised it before the store was asked.
        Ok(Recognition::LookAgain)
    }
}

impl<S: ImportStore + Clone + 'static> KeyImporter<S> {
    /// Tries the slow hashes that are still there: whoever had the turn before may have presented
    /// the same key.
    async fn verify(
        &self,
        lookups: &[KeyDigest],
        key: Arc<PlaintextKey>,
        turn: OwnedSemaphorePermit,
    ) -> Result<bool, LookupError> {
        for (id, hash) in self.imported(lookups).await?.into_iter().filter(is_slow) {
            let presented = Arc::clone(&key);
            let verified = spawn_blocking(move || {
                let verified = verify_slowly(presented.reveal(), &hash);
                verified.map(|verified| verified.then_some(hash))
            });
            let verified = verified.await.map_err(LookupError::unavailable)?;
            if let Some(hash) = verified.map_err(LookupError::unavailable)? {
                self.recognised(id, &key, &hash).await?;
                return Ok(true);
            }
        }
        drop(turn);
        Ok(false)
    }

    async fn imported(
        &self,
        lookups: &[KeyDigest],
    ) -> Result<Vec<(SecretId, ImportedHash)>, LookupError> {
        let _asking = turn(&self.asking).await?;
        let imported = timeout(DEADLINE, self.store.imported(lookups)).await;
        imported.map_err(LookupError::unavailable)?
    }

    async fn recognised(
        &self,
        id: SecretId,
        key: &PlaintextKey,
        hash: &ImportedHash,
    ) -> Result<(), LookupError> {
        let recognised = timeout(DEADLINE, self.store.recognise(id, key)).await;
        let recognised = recognised.map_err(LookupError::unavailable)?;
        recognised.map_err(LookupError::unavailable)?;
        let algorithm = hash.algorithm().as_str();
        tracing::debug!(algorithm, "an imported key was presented for the first time");
        Ok(())
    }
}

fn is_slow((_, hash): &(SecretId, ImportedHash)) -> bool {
    hash.algorithm().is_slow()
}

async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, LookupError> {
    let turn = timeout(DEADLINE, Arc::clone(turns).acquire_owned()).await;
    turn.map_err(|_| LookupError::overloaded())?.map_err(LookupError::unavailable)
}
