//! The small parts under many interleavings: `RUSTFLAGS="--cfg shuttle" cargo test -p keyauth-cache --lib`.

use std::time::Duration;

use keyauth_core::{Change, KeyDigest, KeyRecord, Subject, Version};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::{Config, Runner, future, thread};

use crate::entry::Entry;
use crate::flight::{Begun, Flights, Landed, Late, Place};
use crate::lease::Lease;
use crate::marks::Marks;

/// How many interleavings of each are tried.
const ROUNDS: usize = 10_000;

/// Tries a test in many interleavings: in random ones, and in those that let one thread wait for long
/// at few places. What stands on moka needs more stack than there is by default.
fn check(test: impl Fn() + Clone + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 1 << 21;
    Runner::new(RandomScheduler::new(ROUNDS), config.clone()).run(test.clone());
    Runner::new(PctScheduler::new(3, ROUNDS), config).run(test);
}

fn record(version: u64) -> KeyRecord {
    let record = include_str!("../tests/record.json");
    let mut record: KeyRecord = serde_json::from_str(record).expect("a record");
    record.versions.key = Version::new(version);
    record
}

/// A store with one key, whose version a change raises, and a cache of it.
struct World {
    store: AtomicU64,
    marks: Marks,
    /// The version of which a change has returned.
    returned: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        let (store, returned) = (AtomicU64::new(1), AtomicU64::new(0));
        Arc::new(Self { store, marks: Marks::new(Duration::from_secs(60)), returned })
    }

    /// Changes the key, and has the change applied before it returns.
    fn change(&self, version: u64) {
        self.store.fetch_max(version, Ordering::SeqCst);
        let change = Change::Raised(Subject::Key(record(1).key.id), Version::new(version));
        self.marks.apply(&[change], Duration::ZERO);
        self.returned.fetch_max(version, Ordering::SeqCst);
    }

    /// Reads the store, whose answer takes its time.
    fn read(&self) -> u64 {
        let version = self.store.load(Ordering::SeqCst);
        thread::yield_now();
        version
    }

    /// Loads the key, as long as it takes, into an entry.
    fn load(&self) -> Option<Entry> {
        let asked = self.marks.now();
        let version = self.read();
        Entry::new(Arc::new(record(version)), asked, &self.marks)
    }
}

/// The fence: what was read before a change is not served to whoever asks after it has returned.
#[test]
fn a_load_brings_back_nothing_that_was_changed_meanwhile() {
    check(|| {
        let world = World::new();
        let changing = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.change(2);
                world.change(3);
            })
        };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let Some(entry) = world.load() else { return };
                    for _ in 0..3 {
                        let returned = world.returned.load(Ordering::SeqCst);
                        if let Some(served) = entry.record(&world.marks) {
                            assert!(served.versions.key.get() >= returned);
                        }
                    }
                })
            })
            .collect();
        changing.join().expect("no panic");
        readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
    });
}

/// The same where changes may have been missed, or are of another history.
#[test]
fn a_break_spares_nothing_that_was_loaded_before_it() {
    check(|| {
        let world = World::new();
        let breaking = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.store.store(2, Ordering::SeqCst);
                world.marks.break_off();
                world.returned.store(2, Ordering::SeqCst);
                world.store.store(3, Ordering::SeqCst);
                world.marks.change_history();
                world.returned.store(3, Ordering::SeqCst);
            })
        };
        if let Some(entry) = world.load() {
            for _ in 0..3 {
                let returned = world.returned.load(Ordering::SeqCst);
                if let Some(served) = entry.record(&world.marks) {
                    assert!(served.versions.key.get() >= returned);
                }
            }
        }
        breaking.join().expect("no panic");
    });
}

/// Single flight: of those who come before a load is sent all are told what it has seen, which is
/// nothing older than they asked for; no two load at once what one could; everybody is told.
#[test]
fn callers_share_a_load_and_nobody_is_told_what_was_before_him() {
    check(|| {
        let world = World::new();
        let flights = Arc::new(Flights::new());
        let digest = KeyDigest::from_bytes([7; 32]);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (world, flights) = (Arc::clone(&world), Arc::clone(&flights));
                thread::spawn(move || {
                    let returned = world.returned.load(Ordering::SeqCst);
                    let (flight, place, begun) = flights.join(&digest, Late::LoadAnew);
                    assert_eq!(place, Place::Early);
                    if begun == Begun::Here {
                        flights.send(&digest, &flight);
                        let asked = world.marks.now();
                        let version = world.store.load(Ordering::SeqCst);
                        let outcome = Ok(Some(Arc::new(record(version))));
                        flights.land(&digest, &flight, Landed { outcome, asked });
                    }
                    let landed = future::block_on(flight.landed()).expect("it has landed");
                    let told = landed.outcome.expect("an answer").expect("a record");
                    assert!(told.versions.key.get() >= returned, "as it was before he came");
                })
            })
            .collect();
        world.change(2);
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
        let (_, _, begun) = flights.join(&digest, Late::Join);
        assert_eq!(begun, Begun::Here, "a flight that has landed is joined by nobody");
    });
}

/// A lease ends when the last poll that succeeded says, in whatever order polls come home.
#[test]
fn a_lease_ends_with_the_poll_that_was_sent_last() {
    check(|| {
        let lease = Arc::new(Lease::default());
        let polls: Vec<_> = [5, 7, 6]
            .map(|until| {
                let lease = Arc::clone(&lease);
                thread::spawn(move || {
                    lease.renew(Duration::from_secs(until));
                    assert!(lease.holds(Duration::from_millis(until * 1_000 - 1)));
                })
            })
            .into_iter()
            .collect();
        assert!(!lease.holds(Duration::from_secs(7)));
        polls.into_iter().for_each(|poll| poll.join().expect("no panic"));
        assert_eq!(lease.end(), Some(Duration::from_secs(7)));
    });
}
