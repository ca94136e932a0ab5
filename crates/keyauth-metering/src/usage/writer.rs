//! The thread that takes events from requests, and puts them into batches.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use keyauth_core::{BatchId, Clock, UsageBatch, UsageEvent};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::frame;
use super::shipper::Shipment;
use super::spool::{SEALED, Spool};

/// How many events a batch has at most, and how old it grows.
const MOST: usize = 2_000;
const OLDEST: Duration = Duration::from_secs(1);
/// How many events wait in memory at most, where there is no disk for them.
const MOST_IN_MEMORY: usize = 200_000;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    Event(Box<UsageEvent>),
    /// Answered when all events before it are written to the log.
    Flush(oneshot::Sender<()>),
    /// Seals what there is, and ends.
    Stop,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Events that were lost.
    pub(super) lost: AtomicU64,
    /// Events that wait in memory to be written.
    pub(super) in_memory: AtomicUsize,
}

/// What the thread has.
pub(super) struct Writer {
    pub(super) spool: Option<Spool>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counts: Arc<Counts>,
    pub(super) shipping: UnboundedSender<Shipment>,
}

/// A batch that is being filled.
struct Current {
    id: BatchId,
    since: Duration,
    events: usize,
    kept: Kept,
}

enum Kept {
    OnDisk { file: File, path: PathBuf, len: u64 },
    InMemory(Vec<UsageEvent>),
}

impl Writer {
    /// Goes on until it is told to stop, or nobody is left to tell it anything. Gives back the spool.
    pub(super) fn run(mut self, messages: &Receiver<Message>) -> Option<Spool> {
        let mut current = None;
        loop {
            let first = match messages.recv_timeout(self.time_left(current.as_ref())) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Message::Stop),
            };
            let (mut events, mut flushes, mut stops) = (Vec::new(), Vec::new(), false);
            for message in first.into_iter().chain(messages.try_iter().take(MOST)) {
                match message {
                    Message::Event(event) => events.push(*event),
                    Message::Flush(flushed) => flushes.push(flushed),
                    Message::Stop => stops = true,
                }
            }
            if !events.is_empty() {
                self.keep(&mut current, events);
            }
            let is_full = current.as_ref().is_some_and(|batch| batch.events >= MOST);
            let is_old = self.time_left(current.as_ref()).is_zero();
            if is_full || is_old || stops || !flushes.is_empty() {
                current.take().into_iter().for_each(|batch| self.seal(batch));
            }
            for flushed in flushes {
                let _ = self.shipping.send(Shipment::Told(flushed));
            }
            if stops {
                let late = messages.try_iter().filter(|late| matches!(late, Message::Event(_)));
                match late.count() {
                    0 => {}
                    late => self.lose(late),
                }
                return self.spool;
            }
        }
    }

    /// How long a batch may still be filled.
    fn time_left(&self, current: Option<&Current>) -> Duration {
        let since = current.map(|batch| batch.since);
        since.map_or(OLDEST, |since| (since + OLDEST).saturating_sub(self.clock.uptime()))
    }

    /// Adds events to a batch; to another one, in memory, where the disk does not take them.
    fn keep(&mut self, current: &mut Option<Current>, events: Vec<UsageEvent>) {
        let mut events = events;
        for attempt in [self.spool.is_some(), false] {
            let batch = match current.take().map_or_else(|| self.begin(attempt), Ok) {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(%error, "the spool for usage cannot be written");
                    continue;
                }
            };
            match self.add(batch, events) {
                Ok(batch) => return *current = Some(batch),
                Err(unwritten) => events = unwritten,
            }
        }
        self.lose(events.len());
    }

    fn begin(&self, on_disk: bool) -> io::Result<Current> {
        let (id, since) = (BatchId::begun_at(self.clock.now())?, self.clock.uptime());
        let kept = match self.spool.as_ref().filter(|_| on_disk) {
            Some(spool) => {
                let path = spool.file(id);
                Kept::OnDisk { file: File::create_new(&path)?, path, len: 0 }
            }
            None => Kept::InMemory(Vec::new()),
        };
        Ok(Current { id, since, events: 0, kept })
    }

    /// Gives the events back where the disk does not take them, once the batch is sealed.
    fn add(&self, mut batch: Current, events: Vec<UsageEvent>) -> Result<Current, Vec<UsageEvent>> {
        let count = events.len();
        match &mut batch.kept {
            Kept::OnDisk { file, len, .. } => {
                let mut buffer = Vec::new();
                let too_long = |event: &&UsageEvent| !frame::append(&mut buffer, event);
                let too_long = events.iter().filter(too_long).count();
                if let Err(error) = file.write_all(&buffer) {
                    tracing::error!(%error, "the spool for usage cannot be written");
                    // What was written of it is torn, and nothing may follow that. Where it cannot
                    // be taken back it may be there in part, and must not be there twice.
                    let taken_back = file.set_len(*len).is_ok();
                    self.seal(batch);
                    if taken_back {
                        return Err(events);
                    }
                    self.lose(count);
                    return Err(Vec::new());
                }
                if too_long > 0 {
                    self.lose(too_long);
                }
                *len += u64::try_from(buffer.len()).unwrap_or(u64::MAX);
            }
            Kept::InMemory(kept) => {
                let waiting = self.counts.in_memory.load(Ordering::Relaxed);
                if waiting + kept.len() + count > MOST_IN_MEMORY {
                    self.lose(count);
                    return Ok(batch);
                }
                kept.extend(events);
            }
        }
        batch.events += count;
        Ok(batch)
    }

    fn seal(&self, batch: Current) {
        let shipment = match batch.kept {
            Kept::OnDisk { path, .. } => {
                let sealed = path.with_extension(SEALED);
                let path = if fs::rename(&path, &sealed).is_ok() { sealed } else { path };
                Shipment::File(path)
            }
            Kept::InMemory(events) => {
                self.counts.in_memory.fetch_add(events.len(), Ordering::Relaxed);
                Shipment::Batch(UsageBatch { id: batch.id, events })
            }
        };
        if let Err(error) = self.shipping.send(shipment)
            && let Shipment::Batch(batch) = error.0
        {
            self.lose(batch.events.len());
        }
    }

    fn lose(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let before = self.counts.lost.fetch_add(count, Ordering::Relaxed);
        if before == 0 || before / 10_000 != (before + count) / 10_000 {
            tracing::error!(lost = before + count, "usage is lost: there is no room for it");
        }
    }
}
