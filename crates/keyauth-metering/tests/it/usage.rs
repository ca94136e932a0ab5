//! The record of what was used: nothing lost, nothing twice.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyauth_core::{
    Amount, Answered, Authenticator, BatchId, CallDetails, KeyId, KeyStore, MemoryLedger,
    MemoryStore, NewKey, OwnerId, RequestFacts, StoreError, TenantId, Timestamp, UsageBatch,
    UsageEvent, UsageLog,
};
use keyauth_metering::{LedgerMeter, UsageRecorder};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::world::{PATIENCE, total, units};

/// A log that can be away, or take its time. Clones are one.
#[derive(Clone, Debug, Default)]
struct MemoryLog(Arc<Written>);

#[derive(Debug, Default)]
struct Written {
    away: AtomicBool,
    slow: AtomicBool,
    begun: AtomicUsize,
    /// The numbers of the events of each.
    batches: Mutex<HashMap<BatchId, Vec<u64>>>,
    events: Mutex<Vec<UsageEvent>>,
    tidied: Mutex<Vec<Option<Duration>>>,
}

impl MemoryLog {
    fn be_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }

    /// It ends no write from now on, or all of them again.
    fn be_slow(&self, slow: bool) {
        self.0.slow.store(slow, Ordering::SeqCst);
    }

    async fn wait_for_write(&self) {
        let begun = async {
            while self.0.begun.load(Ordering::SeqCst) == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, begun).await.expect("it writes");
    }

    fn events(&self) -> Vec<UsageEvent> {
        self.0.events.lock().expect("no panic").clone()
    }

    /// The numbers of the events that have arrived, in order.
    fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<_> = self.events().iter().map(|event| event.input).collect();
        numbers.sort_unstable();
        numbers
    }

    async fn wait_for(&self, count: usize) {
        let arrived = async {
            while self.events().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let arrived = timeout(PATIENCE, arrived).await;
        assert!(arrived.is_ok(), "{} of {count}", self.events().len());
    }
}

impl UsageLog for MemoryLog {
    async fn write(&self, batch: &UsageBatch) -> Result<usize, StoreError> {
        if self.0.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("it is away"));
        }
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        while self.0.slow.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
        let numbers = batch.events.iter().map(|event| event.input).collect();
        if self.0.batches.lock().expect("no panic").insert(batch.id, numbers).is_none() {
            self.0.events.lock().expect("no panic").extend(batch.events.iter().cloned());
        }
        Ok(0)
    }

    async fn tidy(&self, keep_calls_for: Option<Duration>) -> Result<(), StoreError> {
        self.0.tidied.lock().expect("no panic").push(keep_calls_for);
        Ok(())
    }
}

fn event(number: u64) -> UsageEvent {
    UsageEvent {
        at: Timestamp::from_unix_seconds(1_780_488_000),
        tenant: TenantId::default(),
        owner: OwnerId::default(),
        group: None,
        key: KeyId::from_bytes([7; 16]),
        route: "GET /".into(),
        resource: "".into(),
        status: 200,
        cost: Amount::ZERO,
        limit_cost: 1,
        input: number,
        output: 0,
        duration: Duration::ZERO,
        address: None,
    }
}

/// Files of batches below a folder.
fn spooled(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(spooled(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a process leaves that is killed in this moment.
fn killed(folder: &Path) -> TempDir {
    let left = tempfile::tempdir().expect("a folder");
    let copy = left.path().join("left");
    fs::create_dir(&copy).expect("a folder");
    fs::write(copy.join("lock"), "").expect("a lock that nobody holds");
    for file in spooled(folder) {
        let name = file.file_name().expect("a name");
        fs::copy(&file, copy.join(name)).expect("a copy");
    }
    left
}

#[tokio::test]
async fn what_is_recorded_arrives_once() {
    let folder = tempfile::tempdir().expect("a folder");
    for spooled_there in [true, false] {
        let log = MemoryLog::default();
        let recorder = match spooled_there {
            true => UsageRecorder::spooled(log.clone(), folder.path()).expect("a spool"),
            false => UsageRecorder::in_memory(log.clone()),
        };
        let background = recorder.start();
        (0..12_000).for_each(|number| recorder.record(event(number)));
        recorder.flush().await.expect("written");
        assert_eq!(log.numbers(), (0..12_000).collect::<Vec<_>>());
        recorder.record(event(12_000));
        recorder.flush().await.expect("written");
        assert_eq!(log.events().len(), 12_001);
        // Within a second, without anybody asking for it.
        recorder.record(event(12_001));
        log.wait_for(12_002).await;
        recorder.record(event(12_002));
        background.shutdown().await;
        assert_eq!(log.events().len(), 12_003, "what was in the queue at the end");
        assert_eq!((recorder.lost(), log.events()[0].clone()), (0, event(0)));
        let left = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0, "nothing is left of it");
    }
}

/// M9: what comes while a batch is on its way to the log is in the next one, once.
#[tokio::test]
async fn what_is_recorded_while_one_flushes_is_in_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    for spooled_there in [true, false] {
        let log = MemoryLog::default();
        let recorder = match spooled_there {
            true => UsageRecorder::spooled(log.clone(), folder.path()).expect("a spool"),
            false => UsageRecorder::in_memory(log.clone()),
        };
        let background = recorder.start();
        log.be_slow(true);
        recorder.record(event(0));
        let flushing = recorder.clone();
        let flushing = tokio::spawn(async move { flushing.flush().await });
        log.wait_for_write().await;
        recorder.record(event(1));
        log.be_slow(false);
        flushing.await.expect("no panic").expect("written");
        recorder.flush().await.expect("written");
        let mut batches: Vec<_> =
            log.0.batches.lock().expect("no panic").values().cloned().collect();
        batches.sort_unstable();
        assert_eq!(batches, [[0], [1]]);
        background.shutdown().await;
        assert_eq!(log.numbers(), [0, 1]);
    }
}

/// Many who want to read at once do not make as many batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_flushes_at_once_flushes_together() {
    let log = MemoryLog::default();
    let recorder = UsageRecorder::in_memory(log.clone());
    let background = recorder.start();
    let mut flushes = JoinSet::new();
    for number in 0..500 {
        let (recorder, log) = (recorder.clone(), log.clone());
        flushes.spawn(async move {
            recorder.record(event(number));
            recorder.flush().await.expect("written");
            assert!(log.numbers().contains(&number), "it is there for whoever has recorded it");
        });
    }
    while let Some(flushed) = flushes.join_next().await {
        flushed.expect("no panic");
    }
    let batches = log.0.batches.lock().expect("no panic").len();
    assert!(batches < 100, "{batches} batches of 500 calls");
    // Nor do those who go away again.
    let before = log.0.batches.lock().expect("no panic").len();
    log.be_away(true);
    for number in 500..1_000 {
        recorder.record(event(number));
        let flushing = timeout(Duration::from_micros(100), recorder.flush()).await;
        assert!(flushing.is_err(), "it is away");
    }
    log.be_away(false);
    recorder.flush().await.expect("written");
    let batches = log.0.batches.lock().expect("no panic").len() - before;
    assert!(batches < 100, "{batches} batches of 500 calls");
    background.shutdown().await;
    assert!(recorder.flush().await.is_err(), "nobody is there who would write");
}

/// Calls are let go of as long as the recorder runs, by what it was told.
#[tokio::test(start_paused = true)]
async fn the_log_is_tidied_each_hour() {
    const LONG: Duration = Duration::from_hours(90 * 24);
    let log = MemoryLog::default();
    let recorder = UsageRecorder::in_memory(log.clone()).keep_calls_for(LONG);
    let background = recorder.start();
    let times = || log.0.tidied.lock().expect("no panic").clone();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(times(), [Some(LONG)]);
    sleep(Duration::from_secs(7_200)).await;
    assert_eq!(times(), [Some(LONG); 3]);
    background.shutdown().await;
    sleep(Duration::from_secs(7_200)).await;
    assert_eq!(times(), [Some(LONG); 3], "it has ended");
    // Limits of a month may begin with them.
    let log = MemoryLog::default();
    let recorder = UsageRecorder::in_memory(log.clone()).keep_calls_for(Duration::ZERO);
    let _background = recorder.start();
    sleep(Duration::from_secs(1)).await;
    let kept = log.0.tidied.lock().expect("no panic").clone();
    assert_eq!(kept, [Some(Duration::from_hours(32 * 24))]);
}

/// A log that is away keeps nobody waiting, and loses nothing.
#[tokio::test]
async fn what_is_recorded_while_the_log_is_away_arrives_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = MemoryLog::default();
    log.be_away(true);
    let recorder = UsageRecorder::spooled(log.clone(), folder.path()).expect("a spool");
    let background = recorder.start();
    for number in 0..20_000 {
        recorder.record(event(number));
        if number % 1_000 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let spooling = async {
        while spooled(folder.path()).len() < 4 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, spooling).await.expect("it is on disk");
    assert_eq!(log.events().len(), 0);
    log.be_away(false);
    recorder.flush().await.expect("written");
    assert_eq!(log.numbers(), (0..20_000).collect::<Vec<_>>());
    background.shutdown().await;
}

/// M10: what a process has spooled that was killed is written by the next, once, whether it was
/// written before or not; and of what is torn the intact part.
#[tokio::test]
async fn what_the_killed_have_left_is_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = MemoryLog::default();
    log.be_away(true);
    let recorder = UsageRecorder::spooled(log.clone(), folder.path()).expect("a spool");
    let background = recorder.start();
    for number in 0..10 {
        recorder.record(event(number));
    }
    let whole = async {
        while spooled(folder.path())
            .iter()
            .all(|file| file.extension().is_some_and(|e| e != "sealed"))
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, whole).await.expect("it is on disk");
    let (left, torn) = (killed(folder.path()), killed(folder.path()));
    // A process that lives is left alone.
    let other = UsageRecorder::spooled(MemoryLog::default(), folder.path()).expect("a spool");
    drop(other);
    log.be_away(false);
    recorder.flush().await.expect("written");
    background.shutdown().await;
    assert_eq!(log.events().len(), 10);
    let next = UsageRecorder::spooled(log.clone(), left.path()).expect("a spool");
    next.start().shutdown().await;
    assert_eq!(log.events().len(), 10, "it was written already");
    assert_eq!(spooled(left.path()), Vec::<PathBuf>::new());

    let file = &spooled(torn.path())[0];
    let bytes = fs::read(file).expect("events");
    fs::write(file, &bytes[..bytes.len() - 1]).expect("torn");
    let fresh = MemoryLog::default();
    let next = UsageRecorder::spooled(fresh.clone(), torn.path()).expect("a spool");
    next.start().shutdown().await;
    assert_eq!(fresh.numbers(), (0..9).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(torn.path()).expect("a folder").count(), 0);
}

/// Who calls what is nobody else's business.
#[cfg(unix)]
#[tokio::test]
async fn a_spool_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let spool = folder.path().join("below").join("spool");
    let _recorder = UsageRecorder::spooled(MemoryLog::default(), &spool).expect("a spool");
    let own = fs::read_dir(&spool).expect("a folder").map(|entry| entry.expect("an entry").path());
    for folder in own.chain([spool.clone()]) {
        let mode = fs::metadata(&folder).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{folder:?}");
    }
}

/// A disk that takes nothing is no reason to lose anything, as long as there is memory.
#[tokio::test]
async fn without_a_disk_it_is_kept_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = MemoryLog::default();
    let recorder = UsageRecorder::spooled(log.clone(), folder.path()).expect("a spool");
    let background = recorder.start();
    recorder.record(event(0));
    recorder.flush().await.expect("written");
    // Where files can no longer be made.
    fs::remove_dir_all(folder.path()).expect("removed");
    (1..100).for_each(|number| recorder.record(event(number)));
    recorder.flush().await.expect("written");
    assert_eq!(log.numbers(), (0..100).collect::<Vec<_>>());
    background.shutdown().await;
}

/// A full queue blocks nobody, and is counted.
#[tokio::test]
async fn what_finds_no_place_is_counted() {
    let recorder = UsageRecorder::in_memory(MemoryLog::default());
    for number in 0..65_536 + 7 {
        recorder.record(event(number));
    }
    assert_eq!(recorder.lost(), 7);
}

/// A call is recorded when it ends, with what it came to.
#[tokio::test]
async fn a_call_is_recorded_when_it_ends() {
    let store = MemoryStore::new();
    let key = NewKey::named("recorded").owner("ada").budget(total(10));
    let key = store.issue(key).await.expect("a key");
    let log = MemoryLog::default();
    let recorder = UsageRecorder::in_memory(log.clone());
    let meter = LedgerMeter::new(MemoryLedger::new()).recording(&recorder);
    let (auth, background) = Authenticator::new(store).with_meter(meter).start();
    let verified = auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer");
    let admission = verified.expect("admitted");
    let address = Some([192, 0, 2, 7].into());
    let details = || CallDetails { route: "POST /chat".into(), address, limit_cost: 3 };
    let (charge, hold) = auth.charge(&admission, details).expect("there is a meter");
    charge.reserve(units(5)).await.expect("an answer").expect("room");
    charge.uses("small-model");
    charge.add_input(11);
    charge.add_output(1);
    charge.add_output(1);
    charge.add(units(2));
    charge.answered(Answered::Served(201));
    recorder.flush().await.expect("written");
    assert_eq!(log.events().len(), 0, "it goes on");
    drop(hold);
    let (_, gone) = auth.charge(&admission, details).expect("there is a meter");
    drop(gone);
    background.shutdown().await;
    let [ended, gone] = log.events().try_into().expect("two");
    let UsageEvent { at, duration, .. } = ended;
    let expected = UsageEvent {
        at,
        tenant: TenantId::default(),
        owner: OwnerId::new("ada").expect("an owner"),
        group: None,
        key: key.id(),
        route: "POST /chat".into(),
        resource: "small-model".into(),
        status: 201,
        cost: units(2),
        limit_cost: 3,
        input: 11,
        output: 2,
        duration,
        address,
    };
    assert_eq!(ended, expected);
    assert_eq!((gone.status, gone.cost, gone.has_failed()), (0, Amount::ZERO, true));
}
