//! Giving back what is not spent, and taking ahead what will be.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Amount, Ledger};

use super::asking::{ROTATION, ask};
use crate::meter::Inner;
use crate::settling::Settlement;

/// Looks after what is leased: once a second.
pub(crate) async fn keep<L: Ledger + 'static>(inner: &Arc<Inner<L>>) {
    let uptime = inner.books.clock.uptime();
    for account in inner.books.accounts.all() {
        let (over, wanted) = {
            let mut stock = account.stock();
            stock.retire(uptime.saturating_sub(ROTATION));
            let lately = stock.taken_lately();
            let wanted = stock.lease().filter(|_| stock.free() < lately);
            (stock.take_over(), wanted.map(|lease| (lease, lately)))
        };
        for (id, amount) in over {
            inner.queue.put(Settlement::Settle { id, amount });
        }
        let Some((lease, lately)) = wanted else { continue };
        let inner = Arc::clone(inner);
        tokio::spawn(async move {
            let Ok(_turn) = account.asking.try_lock() else { return };
            match ask(&inner, &account, &lease, Amount::ZERO, lately).await {
                Ok(Some(nothing)) => {
                    let _ = account.stock().give_back(nothing, Amount::ZERO);
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "nothing could be taken ahead of a budget"),
            }
        });
    }
    inner.books.accounts.tidy(uptime);
}

/// Gives back all that nobody has under way.
pub(crate) fn give_back_all<L: Ledger>(inner: &Inner<L>) {
    for account in inner.books.accounts.all() {
        let over = {
            let mut stock = account.stock();
            stock.retire(Duration::MAX);
            stock.take_over()
        };
        for (id, amount) in over {
            inner.queue.put(Settlement::Settle { id, amount });
        }
    }
}
