//! Whoever books what is in the queue.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::Ledger;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Waiting;
use super::queue::lost;
use crate::books::Books;

/// How many are settled at once.
const AT_ONCE: usize = 16;
/// How long the end waits for what is under way.
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);

/// Settles until it is told to stop, or nobody is left who could reserve; what is in the queue then
/// is settled all the same.
pub(crate) async fn settle<L: Ledger + 'static>(
    books: Arc<Books<L>>,
    mut waiting: Waiting,
    stop: oneshot::Receiver<()>,
) {
    let mut settling = JoinSet::new();
    tokio::select! {
        () = drain(&books, &mut waiting, &mut settling) => {}
        // That nobody waits for the end any more is no reason to end.
        Ok(()) = stop => {
            waiting.close();
            let drained = drain(&books, &mut waiting, &mut settling);
            if timeout(LEAVE_DEADLINE, drained).await.is_err() {
                let unsettled = settling.len();
                tracing::error!(unsettled, "the ledger was away at the end: some charges are lost");
                while let Ok(settlement) = waiting.try_recv() {
                    lost(&settlement);
                }
            }
        }
    }
}

/// Settles all that comes, until nothing can come any more.
async fn drain<L: Ledger + 'static>(
    books: &Arc<Books<L>>,
    waiting: &mut Waiting,
    settling: &mut JoinSet<()>,
) {
    let mut goes_on = true;
    while goes_on || !settling.is_empty() {
        tokio::select! {
            Some(_) = settling.join_next() => {}
            next = waiting.recv(), if goes_on && settling.len() < AT_ONCE => match next {
                Some(settlement) => {
                    let books = Arc::clone(books);
                    settling.spawn(async move { books.settle(settlement).await });
                }
                None => goes_on = false,
            },
        }
    }
}
