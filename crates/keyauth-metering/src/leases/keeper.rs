//! Giving back what is not spent, and taking ahead what will be.

use std::sync::Arc;

use keyauth_core::{Amount, Ledger};

use super::asking::{ROTATION, ask};
use crate::meter::Inner;

/// Looks after what is leased: once a second.
pub(crate) fn keep<L: Ledger + 'static>(inner: &Arc<Inner<L>>) {
    let uptime = inner.books.clock.uptime();
    for account in inner.books.accounts.all() {
        let wanted = {
            let mut stock = account.stock();
            stock.retire(uptime.saturating_sub(ROTATION));
            let lately = stock.taken_lately();
            stock.lease().filter(|_| stock.free() < lately).map(|lease| (lease, lately))
        };
        let Some((lease, lately)) = wanted else { continue };
        let inner = Arc::clone(inner);
        tokio::spawn(async move {
            let Ok(_asking) = account.asking.try_lock() else { return };
            if let Err(error) = ask(&inner, &account, &lease, Amount::ZERO, lately).await {
                tracing::debug!(%error, "nothing could be taken ahead of a budget");
            }
        });
    }
    inner.books.accounts.tidy(uptime);
}
