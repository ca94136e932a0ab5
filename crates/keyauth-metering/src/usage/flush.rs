//! Waiting until what was recorded is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use keyauth_core::StoreError;
use tokio::sync::{Mutex, oneshot};

use super::writer::Message;

/// One flush at a time, each for all who waited when it began: each makes a batch of what there is,
/// and many who ask at once must not make many small ones.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    begun: AtomicU64,
    /// The last one that has ended well. Locked by the one that goes on.
    ended: Arc<Mutex<u64>>,
}

impl Flushes {
    pub(super) async fn flush(&self, sender: &SyncSender<Message>) -> Result<(), StoreError> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut ended = Arc::clone(&self.ended).lock_owned().await;
        if *ended > before {
            // One that began after this was asked for.
            return Ok(());
        }
        let this = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let (told, flushed) = oneshot::channel();
        let sender = sender.clone();
        // Goes on though whoever asked goes away, or those who do would not wait for each other.
        let flushing = tokio::spawn(async move {
            let send = tokio::task::spawn_blocking(move || sender.send(Message::Flush(told)));
            send.await.map_err(StoreError::unavailable)?.map_err(|_| shut_down())?;
            flushed.await.map_err(|_| shut_down())?;
            *ended = this;
            Ok(())
        });
        flushing.await.map_err(StoreError::unavailable)?
    }
}

fn shut_down() -> StoreError {
    StoreError::unavailable("the recorder was shut down")
}
