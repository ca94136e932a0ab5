//! The recorder.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyauth_core::{Background, Clock, StoreError, SystemClock, UsageEvent, UsageLog};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::flush::Flushes;
use super::shipper::ship;
use super::spool::{Left, Spool};
use super::tidy::tidy;
use super::writer::{Counts, Message, Writer};

/// How many events wait to be put into a batch at most.
const CAPACITY: usize = 65_536;
/// How long calls are kept at least: a month, and the hours that zones are apart.
const SHORTEST: Duration = Duration::from_hours(32 * 24);
/// How long the end waits for what is not written yet, and somebody who flushes.
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);

/// Takes events from requests, and writes them to a log in batches, off the requests' path.
///
/// An event goes to a bounded queue, at once to a spool file, where there is one, and within a
/// second to the log. A queue that is full blocks nobody: what finds no place is
/// [counted](Self::lost). A log that is away loses nothing as long as the disk has room, and nothing
/// is counted twice: a batch has a name, by which it is written once. What a process that was killed
/// leaves in its spool is written by the next one that uses the same folder.
///
/// Clones are one.
#[derive(Debug)]
pub struct UsageRecorder<U>(Arc<Inner<U>>);

struct Inner<U> {
    log: Arc<U>,
    sender: SyncSender<Message>,
    counts: Arc<Counts>,
    flushes: Flushes,
    unstarted: Mutex<Option<Unstarted>>,
}

struct Unstarted {
    messages: Receiver<Message>,
    spool: Option<Spool>,
    left: Vec<Left>,
    keep_calls_for: Option<Duration>,
}

impl<U: UsageLog> UsageRecorder<U> {
    /// Without a spool: what is not written to the log is lost with the process, and beyond 200 000
    /// events while the log is away.
    #[must_use]
    pub fn in_memory(log: U) -> Self {
        Self::new(log, None, Vec::new())
    }

    /// With a spool in a folder, which is made where it is not there, and which other processes on
    /// this machine may use as well.
    ///
    /// # Errors
    ///
    /// Those of making and reading it.
    pub fn spooled(log: U, folder: impl AsRef<Path>) -> io::Result<Self> {
        let (spool, left) = Spool::open(folder.as_ref(), &SystemClock::new())?;
        Ok(Self::new(log, Some(spool), left))
    }

    fn new(log: U, spool: Option<Spool>, left: Vec<Left>) -> Self {
        let (sender, messages) = sync_channel(CAPACITY);
        let unstarted = Unstarted { messages, spool, left, keep_calls_for: None };
        Self(Arc::new(Inner {
            log: Arc::new(log),
            sender,
            counts: Arc::default(),
            flushes: Flushes::default(),
            unstarted: Mutex::new(Some(unstarted)),
        }))
    }

    /// Records an event, without waiting.
    pub fn record(&self, event: UsageEvent) {
        let Err(error) = self.0.sender.try_send(Message::Event(Box::new(event))) else { return };
        let before = self.0.counts.lost.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            let why = match error {
                TrySendError::Full(_) => "more comes than can be recorded",
                TrySendError::Disconnected(_) => "the recorder was shut down",
            };
            tracing::error!("usage is lost: {why}");
        }
    }

    /// How many events were lost, since there was no room for them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.counts.lost.load(Ordering::Relaxed)
    }

    /// Lets go of calls of days that ended longer ago, and at least 32 days ago, since limits of a
    /// month may begin with them; without this calls are kept for ever, as sums of days are. To be said
    /// before it starts.
    #[must_use]
    pub fn keep_calls_for(self, time: Duration) -> Self {
        if let Some(unstarted) = &mut *self.unstarted() {
            unstarted.keep_calls_for = Some(time.max(SHORTEST));
        }
        self
    }

    /// Waits until all that was recorded before is in the log: for reading it exactly.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](keyauth_core::StoreErrorKind::Unavailable) where that takes more than ten
    /// seconds.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let flushed = timeout(LEAVE_DEADLINE, self.0.flushes.flush(&self.0.sender)).await;
        flushed.map_err(StoreError::unavailable)?
    }

    pub(super) fn log(&self) -> &U {
        &self.0.log
    }

    fn unstarted(&self) -> MutexGuard<'_, Option<Unstarted>> {
        self.0.unstarted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<U: UsageLog + 'static> UsageRecorder<U> {
    /// Starts writing, on the runtime this is called on; a second time it starts nothing.
    ///
    /// Shutting down writes all that was recorded, for as long as ten seconds. What is not written
    /// then stays in the spool.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and where the system gives no thread.
    pub fn start(&self) -> Background {
        let unstarted = self.unstarted().take();
        let Some(Unstarted { messages, spool, left, keep_calls_for }) = unstarted else {
            return Background::none();
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (shipping, shipments) = mpsc::unbounded_channel();
        let counts = Arc::clone(&self.0.counts);
        let writer = Writer { spool, clock, counts, shipping };
        let (ended, writing) = oneshot::channel();
        std::thread::spawn(move || {
            // Its folder goes with the last file, which is the shipper's to remove.
            let spool = writer.run(&messages);
            let _ = ended.send(spool);
        });
        let (log, counts) = (Arc::clone(&self.0.log), Arc::clone(&self.0.counts));
        let shipping = tokio::spawn(async move {
            ship(log, left, shipments, counts).await;
            drop(writing.await);
        });
        let tidying = tokio::spawn(tidy(Arc::downgrade(&self.0.log), keep_calls_for));
        let sender = self.0.sender.clone();
        Background::new(async move {
            tidying.abort();
            let leaving = async {
                let _ = tokio::task::spawn_blocking(move || sender.send(Message::Stop)).await;
                let _ = shipping.await;
            };
            if timeout(LEAVE_DEADLINE, leaving).await.is_err() {
                tracing::error!(
                    "not all usage is written at the end; with a spool, the next start goes on"
                );
            }
        })
    }
}

/// A recorder over any log.
pub(crate) trait Recorder: fmt::Debug + Send + Sync {
    fn record(&self, event: UsageEvent);

    fn start(&self) -> Background;
}

impl<U: UsageLog + 'static> Recorder for UsageRecorder<U> {
    fn record(&self, event: UsageEvent) {
        Self::record(self, event);
    }

    fn start(&self) -> Background {
        Self::start(self)
    }
}

impl<U> Clone for UsageRecorder<U> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U> fmt::Debug for Inner<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageRecorder").field("counts", &self.counts).finish_non_exhaustive()
    }
}
