//! Files of events that are not written to the log yet.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use keyauth_core::{BatchId, Clock, UsageBatch};

use super::frame::{self, End};

/// Held by the process whose folder it lies in.
const LOCK: &str = "lock";
/// Of a file that is being written.
pub(super) const OPEN: &str = "open";
/// Of one that is complete.
pub(super) const SEALED: &str = "sealed";

/// A folder of this process's own, in one that several may share.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    _lock: File,
}

/// What a process that has ended has left.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) files: Vec<PathBuf>,
    /// Its folder, which is removed when nothing is left in it; and whose it is until then.
    folder: PathBuf,
    _lock: File,
}

impl Spool {
    /// Makes a folder for this process, and takes over what others have left.
    pub(super) fn open(folder: &Path, clock: &dyn Clock) -> io::Result<(Self, Vec<Left>)> {
        create_private(folder)?;
        let mut left = Vec::new();
        for entry in fs::read_dir(folder)? {
            left.extend(Left::take_over(entry?.path())?);
        }
        let own = folder.join(BatchId::begun_at(clock.now())?.to_string());
        create_private(&own)?;
        // Others look for the lock by its name, which it has when it is held.
        let new = own.join("lock.new");
        let lock = File::create(&new)?;
        lock.try_lock().map_err(io::Error::from)?;
        fs::rename(new, own.join(LOCK))?;
        Ok((Self { folder: own, _lock: lock }, left))
    }

    /// Where a batch is written.
    pub(super) fn file(&self, id: BatchId) -> PathBuf {
        self.folder.join(format!("{id}.{OPEN}"))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

impl Left {
    /// `None` where its process lives, or it is no spool.
    fn take_over(folder: PathBuf) -> io::Result<Option<Self>> {
        let lock = match File::options().write(true).open(folder.join(LOCK)) {
            Ok(lock) => lock,
            Err(_) => return Ok(None),
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut files = Vec::new();
        // Its process may have ended, and removed it, in this moment.
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(None) };
        for entry in entries {
            let path = entry?.path();
            if has_extension(&path, OPEN) || has_extension(&path, SEALED) {
                files.push(path);
            }
        }
        // Their names begin with when they were begun.
        files.sort();
        if files.iter().any(|file| has_extension(file, OPEN)) {
            tracing::warn!(
                folder = %folder.display(),
                "a process ended uncleanly; what it had recorded is written now"
            );
        }
        Ok(Some(Self { files, folder, _lock: lock }))
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Makes a folder that its owner alone can read, where it is not there: who calls what is nobody
/// else's business.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Removes a folder that nothing is left in but its lock.
fn remove(folder: &Path) {
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK))
    });
    if is_empty {
        let _ = fs::remove_file(folder.join(LOCK));
        let _ = fs::remove_dir(folder);
    }
}

/// Reads a batch, by the name of its file. What is torn ends with what is intact.
pub(super) fn read(file: &Path) -> io::Result<UsageBatch> {
    let id = file.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let id = id.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "it is not named after a batch")
    })?;
    let (events, end) = frame::read(&fs::read(file)?);
    if end == End::Torn {
        let events = events.len();
        tracing::warn!(file = %file.display(), events, "a spool is torn; its intact part is kept");
    }
    Ok(UsageBatch { id, events })
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
