//! A bounded map that is read without a lock.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use foldhash::quality::RandomState;
use keyauth_core::KeyDigest;
use papaya::{Compute, Guard, HashMap, Operation, ResizeMode};

use crate::lease::micros;
use crate::observe;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, PoisonError};

/// How many are passed over, since they were read, before one has to go that was read too.
const MOST_CHANCES: usize = 64;

/// How many places each change moves while the map grows. Reads look into both tables meanwhile,
/// which is to be over soon; and this many are moved in less time than a load takes.
const MOVED_AT_ONCE: usize = 256;

/// After how many that are new what the map no longer needs is given back. It does so itself after
/// some dozens of removals, of which there are none while it grows: the tables it grew out of would
/// stay, as large as the last one together.
const GIVEN_BACK_AFTER: usize = 1024;

/// Values by digest, as many as there is room for. Where there is none, one goes that was not read
/// since it came or was passed over last (second chance, or CLOCK: Corbató 1968): a read leaves
/// nothing but a flag, and that once.
///
/// What has lived for its time is there for nobody, and makes room when others need it.
pub(crate) struct Bounded<V> {
    map: HashMap<KeyDigest, Slot<V>, RandomState>,
    capacity: usize,
    /// Who came first, or was passed over first. Some may be gone from the map already.
    queue: Mutex<VecDeque<KeyDigest>>,
}

struct Slot<V> {
    value: V,
    /// In microseconds of uptime.
    ends_at: u64,
    was_read: AtomicBool,
}

impl<V: Send + Sync + 'static> Bounded<V> {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            // Seeded at random: whoever chooses keys does not choose where they come to lie.
            map: HashMap::builder()
                .hasher(RandomState::default())
                .resize_mode(ResizeMode::Incremental(MOVED_AT_ONCE))
                .build(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            queue: Mutex::default(),
        }
    }

    /// What `read` makes of the value, if there is one.
    pub(crate) fn get<T>(
        &self,
        digest: &KeyDigest,
        now: Duration,
        read: impl FnOnce(&V) -> Option<T>,
    ) -> Option<T> {
        let map = self.map.pin();
        let slot = map.get(digest).filter(|slot| micros(now) < slot.ends_at)?;
        // Written once: a line that nobody writes stays with all cores.
        if !slot.was_read.load(Ordering::Relaxed) {
            slot.was_read.store(true, Ordering::Relaxed);
        }
        read(&slot.value)
    }

    /// Puts there what `make` gives, which is told what is there. Says whether it gave anything.
    pub(crate) fn put(
        &self,
        digest: KeyDigest,
        now: Duration,
        lifetime: Duration,
        mut make: impl FnMut(Option<&V>) -> Made<V>,
    ) -> bool {
        let ends_at = micros(now.saturating_add(jittered(lifetime, &digest)));
        let lives = |slot: &Slot<V>| micros(now) < slot.ends_at;
        let new = |value| Slot { value, ends_at, was_read: AtomicBool::new(false) };
        let map = self.map.pin();
        // `compute` alone would do, but nothing moves to a greater table by it.
        if !map.contains_key(&digest) {
            let Made::New(value) = make(None) else { return false };
            if map.try_insert(digest, new(value)).is_ok() {
                self.make_room(digest, now);
                return true;
            }
        }
        let done = map.compute(digest, |there| {
            let there = there.map(|(_, slot)| slot).filter(|slot| lives(slot));
            match make(there.map(|slot| &slot.value)) {
                Made::New(value) => Operation::Insert(new(value)),
                Made::Kept => Operation::Abort(true),
                Made::Nothing => Operation::Abort(false),
            }
        });
        match done {
            Compute::Inserted(..) => self.make_room(digest, now),
            Compute::Updated { old: (_, old), .. } if !lives(old) => observe::evicted("expired"),
            Compute::Updated { .. } | Compute::Removed(..) => {}
            Compute::Aborted(kept) => return kept,
        }
        true
    }

    pub(crate) fn remove(&self, digest: &KeyDigest) {
        self.map.pin().remove(digest);
    }

    pub(crate) fn clear(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.map.pin().clear();
        queue.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Queues one that is new, and has others go as long as there are too many.
    fn make_room(&self, digest: KeyDigest, now: Duration) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() == queue.capacity() {
            // It would double, and half of it would be of use to nobody.
            let more = queue.len() / 8;
            queue.reserve_exact(more + 1);
        }
        queue.push_back(digest);
        let map = self.map.pin();
        let mut chances = MOST_CHANCES;
        // Those that were removed are in the queue for as long as there is room.
        let most_queued = self.capacity.saturating_mul(2);
        while map.len() > self.capacity || queue.len() > most_queued {
            let Some(first) = queue.pop_front() else { break };
            let Some(slot) = map.get(&first) else { continue };
            let lives = micros(now) < slot.ends_at;
            if lives && chances > 0 && slot.was_read.swap(false, Ordering::Relaxed) {
                chances -= 1;
                queue.push_back(first);
            } else {
                map.remove(&first);
                observe::evicted(if lives { "size" } else { "expired" });
            }
        }
        let grows = queue.len() < self.capacity;
        if grows && queue.len().is_multiple_of(GIVEN_BACK_AFTER) {
            self.map.guard().flush();
        }
    }
}

/// What is to be put somewhere.
pub(crate) enum Made<V> {
    New(V),
    /// What is there is to stay.
    Kept,
    /// Nothing is to be there anew.
    Nothing,
}

/// A little less than a lifetime, for each another one, so that what was loaded together is not
/// loaded again together.
fn jittered(lifetime: Duration, digest: &KeyDigest) -> Duration {
    // Digests are as good as random.
    let [first, ..] = *digest.as_bytes();
    lifetime - lifetime / 10 * u32::from(first) / 255
}

impl<V> fmt::Debug for Bounded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const LIFETIME: Duration = Duration::from_secs(10);

    fn digest(number: u32) -> KeyDigest {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        KeyDigest::from_bytes(bytes)
    }

    fn bounded(capacity: u64, numbers: impl Iterator<Item = u32>) -> Bounded<u32> {
        let bounded = Bounded::new(capacity);
        for number in numbers {
            assert!(bounded.put(digest(number), NOW, LIFETIME, |_| Made::New(number)));
        }
        bounded
    }

    fn get(bounded: &Bounded<u32>, number: u32) -> Option<u32> {
        bounded.get(&digest(number), NOW, |value| Some(*value))
    }

    #[test]
    fn those_that_are_read_stay() {
        let bounded = bounded(100, 0..100);
        for round in 1..=50 {
            for hot in 0..50 {
                assert_eq!(get(&bounded, hot), Some(hot), "in round {round}");
            }
            for number in 0..50 {
                let number = round * 1_000 + number;
                bounded.put(digest(number), NOW, LIFETIME, |_| Made::New(number));
                assert!(bounded.len() <= 100);
            }
        }
        assert_eq!(get(&bounded, 60), None, "nobody has read it");
    }

    #[test]
    fn there_is_room_where_all_are_read() {
        let bounded = bounded(100, 0..100);
        (0..100).for_each(|number| assert!(get(&bounded, number).is_some()));
        bounded.put(digest(100), NOW, LIFETIME, |_| Made::New(100));
        assert_eq!((bounded.len(), get(&bounded, 100)), (100, Some(100)));
    }

    #[test]
    fn nothing_outlives_its_time() {
        let bounded = bounded(100, 0..1);
        let later = NOW + LIFETIME;
        assert_eq!(bounded.get(&digest(0), later, |value| Some(*value)), None);
        let there = |there: Option<&u32>| {
            assert_eq!(there, None, "nobody is told of it");
            Made::New(1)
        };
        assert!(bounded.put(digest(0), later, LIFETIME, there));
        assert_eq!(bounded.get(&digest(0), later, |value| Some(*value)), Some(1));
    }

    #[test]
    fn what_is_there_may_stay() {
        let bounded = bounded(100, 0..1);
        let seen = |there: Option<&u32>| {
            assert_eq!(there, Some(&0));
            Made::Kept
        };
        assert!(bounded.put(digest(0), NOW, LIFETIME, seen));
        assert!(!bounded.put(digest(1), NOW, LIFETIME, |_| Made::Nothing));
        assert_eq!((get(&bounded, 0), get(&bounded, 1)), (Some(0), None));
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing_behind() {
        let bounded = bounded(10, 0..5);
        for _ in 0..1_000 {
            bounded.put(digest(7), NOW, LIFETIME, |_| Made::New(7));
            bounded.remove(&digest(7));
        }
        let queued = bounded.queue.lock().expect("no panic").len();
        assert!(queued <= 20, "{queued} are queued");
        bounded.clear();
        assert_eq!((bounded.len(), get(&bounded, 0)), (0, None));
        bounded.put(digest(0), NOW, LIFETIME, |_| Made::New(9));
        assert_eq!(get(&bounded, 0), Some(9));
    }

    #[test]
    fn without_room_nothing_stays() {
        assert_eq!(bounded(0, 0..10).len(), 0);
    }
}
