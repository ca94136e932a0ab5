//! The meter.

use std::sync::{Arc, Weak};
use std::time::Duration;

use keyauth_core::{
    Background, Clock, Ledger, LedgerError, Meter, MeteredCharge, ReserveDecision, SystemClock,
    TryReserve, UsageEvent, UsageLog,
};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::books::{Books, PATIENCE};
use crate::leases::keep;
use crate::reserving::{reserve, try_reserve};
use crate::settling::{Queue, settle};
use crate::usage::{Recorder, UsageRecorder};

/// How often what is leased is looked after.
const KEEPING: Duration = Duration::from_secs(1);
/// How long the end waits for what is under way.
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);
/// How many times as seldom reservations are renewed: every 20 seconds.
const RENEWAL: u32 = 20;

/// Has a ledger decide about budgets.
///
/// See the [crate docs](crate) for an example. Clones are one.
#[derive(Debug)]
pub struct LedgerMeter<L: Ledger> {
    inner: Arc<Inner<L>>,
    recorder: Option<Arc<dyn Recorder>>,
}

#[derive(Debug)]
pub(crate) struct Inner<L: Ledger> {
    pub(crate) books: Arc<Books<L>>,
    pub(crate) queue: Queue,
}

impl<L: Ledger> LedgerMeter<L> {
    /// By what a ledger says.
    #[must_use]
    pub fn new(ledger: L) -> Self {
        Self::with_clock(ledger, Arc::new(SystemClock::new()))
    }

    /// By another clock, for what it remembers and takes ahead: the ledger's own decides about
    /// windows and reservations.
    #[must_use]
    pub fn with_clock(ledger: L, clock: Arc<dyn Clock>) -> Self {
        let books = Arc::new(Books::new(ledger, clock));
        Self { inner: Arc::new(Inner { books, queue: Queue::new() }), recorder: None }
    }

    /// Records calls as well, which the recorder may be asked about. It is started, and shut down,
    /// with the meter.
    #[must_use]
    pub fn recording<U: UsageLog + 'static>(self, recorder: &UsageRecorder<U>) -> Self {
        Self { recorder: Some(Arc::new(recorder.clone())), ..self }
    }
}

impl<L: Ledger> Clone for LedgerMeter<L> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), recorder: self.recorder.clone() }
    }
}

impl<L: Ledger + 'static> Meter for LedgerMeter<L> {
    fn try_reserve(&self, charge: &MeteredCharge) -> TryReserve {
        try_reserve(&self.inner, charge)
    }

    async fn reserve(&self, charge: MeteredCharge) -> Result<ReserveDecision, LedgerError> {
        let decision = timeout(PATIENCE, reserve(&self.inner, charge)).await;
        decision.map_err(LedgerError::unavailable)?
    }

    fn book(&self, charge: MeteredCharge) {
        self.inner.book(charge.record.charged_budgets(), charge.amount);
    }

    fn is_recording(&self) -> bool {
        self.recorder.is_some()
    }

    fn record(&self, event: UsageEvent) {
        if let Some(recorder) = &self.recorder {
            recorder.record(event);
        }
    }

    fn start(&self) -> Background {
        let recording = self.recorder.as_ref().map_or_else(Background::none, |one| one.start());
        let Some(waiting) = self.inner.queue.start() else { return recording };
        let (stop, stopped) = oneshot::channel();
        // It ends with the last that could be settled, not with the wait for it.
        drop(tokio::spawn(settle(Arc::clone(&self.inner.books), waiting)));
        let keeper = tokio::spawn(look_after(Arc::downgrade(&self.inner), stopped));
        let (inner, open) = (Arc::downgrade(&self.inner), Arc::clone(&self.inner.queue.open));
        Background::new(async move {
            let _ = stop.send(());
            let _ = keeper.await;
            // Where its authenticator is gone already, that has closed it.
            if let Some(inner) = inner.upgrade() {
                inner.close();
            }
            if timeout(LEAVE_DEADLINE, open.none()).await.is_err() {
                tracing::error!(
                    charges = open.len(),
                    "not all charges are settled at the end: calls are under way, or the ledger is \
                     away"
                );
            }
        })
        .and(recording)
    }
}

impl<L: Ledger> Inner<L> {
    /// Reserves nothing any more, and gives back what it has taken ahead.
    fn close(&self) {
        self.queue.close();
        self.books.accounts.all().iter().for_each(|account| account.stock().close());
        self.queue.book_added_up();
    }
}

impl<L: Ledger> Drop for Inner<L> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Looks after what is under way until it is told to stop, or the meter is gone.
async fn look_after<L: Ledger + 'static>(inner: Weak<Inner<L>>, stop: oneshot::Receiver<()>) {
    let keeping = async {
        let mut ticks = interval(KEEPING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until_renewal = RENEWAL;
        loop {
            ticks.tick().await;
            let Some(inner) = inner.upgrade() else { return };
            keep(&inner);
            inner.queue.book_added_up();
            until_renewal = until_renewal.saturating_sub(1);
            // Where that fails, again with the next tick.
            if until_renewal == 0 && inner.books.renew(&inner.queue.open.charges()).await {
                until_renewal = RENEWAL;
                let books = Arc::clone(&inner.books);
                // It may take its time, and keeping does not wait for it.
                drop(tokio::spawn(async move { books.tidy().await }));
            }
        }
    };
    tokio::select! {
        () = keeping => {}
        // That nobody waits for the end any more is no reason to end.
        Ok(()) = stop => {}
    }
}
