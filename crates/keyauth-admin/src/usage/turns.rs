//! Who may read when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use keyauth_core::{KeyId, StoreError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many read at once, and how long one may wait and read.
const AT_ONCE: usize = 4;
const DEADLINE: Duration = Duration::from_secs(10);
/// With more keys than that those are forgotten that nobody waits for.
const MANY: usize = 1_024;

/// Turns at reading: few at once, and one for each key, so that a key that asks a lot waits for itself;
/// and one for whoever asks without a key, since the store is his.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    keys: Mutex<HashMap<Option<KeyId>, Weak<Semaphore>>>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), keys: Mutex::default() }
    }

    /// Prepares and reads when it is the key's turn; others are waited for between the two. Whoever
    /// goes away meanwhile keeps the turn as long as the database is at it.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        key: Option<KeyId>,
        prepare: impl Future<Output = Result<(), StoreError>> + Send + 'static,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let waiting = async {
            let own = self.of(key).acquire_owned().await.map_err(StoreError::unavailable)?;
            let all = Arc::clone(&self.all);
            let reading = tokio::spawn(async move {
                let _own = own;
                prepare.await?;
                let _one = all.acquire().await.map_err(StoreError::unavailable)?;
                read.await
            });
            reading.await.map_err(StoreError::unavailable)?
        };
        timeout(DEADLINE, waiting).await.map_err(StoreError::unavailable)?
    }

    fn of(&self, key: Option<KeyId>) -> Arc<Semaphore> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = keys.get(&key).and_then(Weak::upgrade) {
            return own;
        }
        if keys.len() >= MANY {
            keys.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(1));
        keys.insert(key, Arc::downgrade(&own));
        own
    }
}
