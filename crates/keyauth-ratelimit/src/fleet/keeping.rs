//! Work beside requests, of which there is one at a time.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use keyauth_core::Background;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

/// Ready when the work is to end.
pub(super) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns work for which something must be had that there is one of: it begins when whoever has
/// that has left.
pub(super) fn one_at_a_time<T, W, F>(what: &Arc<Mutex<T>>, work: W) -> Background
where
    T: Send + 'static,
    W: FnOnce(OwnedMutexGuard<T>, Stop) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let what = Arc::clone(what);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        // That nobody waits for the end any more is no reason to end.
        let mut stop: Stop = Box::pin(async {
            if stopped.await.is_err() {
                pending::<()>().await;
            }
        });
        tokio::select! {
            what = what.lock_owned() => work(what, stop).await,
            () = &mut stop => {}
        }
    });
    Background::new(async move {
        let _ = stop.send(());
        let _ = task.await;
    })
}
