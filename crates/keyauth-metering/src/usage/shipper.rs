//! Whoever writes batches to the log, one after the other.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyauth_core::{StoreError, UsageBatch, UsageLog};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::spool::{self, Left};
use super::writer::Counts;

/// How long a batch may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long after one that failed the first attempt comes, and the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is to be written.
#[derive(Debug)]
pub(super) enum Shipment {
    File(PathBuf),
    Batch(UsageBatch),
    /// Somebody wants to know when all before is written.
    Told(oneshot::Sender<()>),
}

/// Writes what others have left, and then all that comes until nothing can come any more.
pub(super) async fn ship<U: UsageLog>(
    log: Arc<U>,
    left: Vec<Left>,
    mut shipments: UnboundedReceiver<Shipment>,
    counts: Arc<Counts>,
) {
    for left in left {
        for file in &left.files {
            ship_file(&log, file).await;
        }
    }
    while let Some(shipment) = shipments.recv().await {
        match shipment {
            Shipment::File(file) => ship_file(&log, &file).await,
            Shipment::Batch(batch) => {
                write(&log, &batch).await;
                counts.in_memory.fetch_sub(batch.events.len(), Ordering::Relaxed);
            }
            Shipment::Told(told) => drop(told.send(())),
        }
    }
}

/// Writes a file's batch, and removes the file. What is none stays where it is, for people.
async fn ship_file<U: UsageLog>(log: &Arc<U>, file: &Path) {
    let mut pause = FIRST_PAUSE;
    let batch = loop {
        let path = file.to_owned();
        let read = tokio::task::spawn_blocking(move || spool::read(&path)).await;
        let error = match read.map_err(io::Error::other).flatten() {
            Ok(batch) => break batch,
            Err(error) => error,
        };
        tracing::error!(file = %file.display(), %error, "a spool cannot be read");
        if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    write(log, &batch).await;
    if let Err(error) = fs::remove_file(file) {
        // It is written again with the next start, which changes nothing.
        tracing::warn!(file = %file.display(), %error, "a spool that is written stays");
    }
}

/// Writes a batch, trying until that is done.
async fn write<U: UsageLog>(log: &Arc<U>, batch: &UsageBatch) {
    if batch.events.is_empty() {
        return;
    }
    let (mut pause, mut failures) = (FIRST_PAUSE, 0_u32);
    loop {
        let written = timeout(DEADLINE, log.write(batch)).await;
        match written.map_err(StoreError::unavailable).flatten() {
            Ok(0) => return,
            Ok(set_aside) => {
                return tracing::error!(set_aside, "the log has refused usage, and set it aside");
            }
            Err(error) => {
                if failures == 0 {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "usage cannot be written, and waits");
                }
                failures += 1;
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
