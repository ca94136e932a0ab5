//! What time tells: whether a guess that is nearer to a key takes another time than one that is not.
//!
//! As dudect does it (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017): two
//! kinds of input in random order, each timed by itself, the slowest tenth left away, and Welch's t of
//! the two. Beyond 10 it is taken for a difference there; where there is none, it is 5 in one of a
//! million runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{
    Authenticator, Issuer, KeyDigest, KeyLookup, KeyStore, LookupError, MemoryStore, NewKey, Peek,
    RequestFacts, SharedCache, SharedEntry,
};
use keyauth_tests::history::Outcome;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::api::Api;
use crate::fleet::Fleet;
use crate::report::Report;
use crate::trial::unknown_key;

/// How far `t` may be from zero.
const MOST: f64 = 10.0;
/// How much the medians of two answers may differ that do not say the same, and so tell it anyway.
const APART: Duration = Duration::from_micros(100);
const KINDS: usize = 64;

/// Times of two kinds of input, in nanoseconds.
#[derive(Default)]
struct Times([Vec<f64>; 2]);

impl Times {
    fn note(&mut self, kind: usize, took: Duration) {
        self.0[kind].push(took.as_secs_f64() * 1e9);
    }

    /// Leaves the slowest tenth of all away: what came between.
    fn crop(&mut self) {
        let mut all = self.0.concat();
        all.sort_by(f64::total_cmp);
        let most = all[all.len() * 9 / 10];
        for times in &mut self.0 {
            times.retain(|time| *time <= most);
        }
    }

    /// Means of the two, and the squares of their standard errors.
    fn means(&self) -> [(f64, f64); 2] {
        self.0.each_ref().map(|times| mean(times))
    }

    /// Welch's t (B. L. Welch, 1947).
    fn t(&self) -> f64 {
        let [one, other] = self.means();
        (one.0 - other.0) / (one.1 + other.1).sqrt()
    }

    fn report(mut self, report: &mut Report, name: &str) {
        self.crop();
        let (t, counts) = (self.t(), self.0.each_ref().map(Vec::len));
        let figure = format!("t = {t:.1}, of {} and {} times", counts[0], counts[1]);
        report.row(name, figure, "between -10 and 10", t.abs() < MOST);
    }
}

/// The mean of numbers, and the square of its standard error.
fn mean(of: &[f64]) -> (f64, f64) {
    let count = f64::from(u32::try_from(of.len()).expect("a count"));
    let mean = of.iter().sum::<f64>() / count;
    let off = of.iter().map(|one| (one - mean).powi(2)).sum::<f64>();
    (mean, off / (count - 1.0) / count)
}

/// Numbers that follow no pattern (xorshift, G. Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % below
    }
}

/// Over HTTP, at one instance that has all of it cached.
pub(crate) async fn tells_nothing_over_http(report: &mut Report, fleet: &Fleet) {
    const ROUNDS: usize = 40_000;
    let (api, mut random) = (fleet.api(), Random(7));
    let known = api.issue(0, &json!({"name": "known"})).await.expect("a key").secret;
    let revoked = api.issue(0, &json!({"name": "revoked"})).await.expect("a key");
    assert!(api.revoke(0, &revoked.id, 5).await.expect("revoked"));
    let near: Vec<_> = (0..KINDS).map(|number| near(&known, number)).collect();
    let far: Vec<_> = (0..KINDS).map(|_| unknown_key()).collect();
    let (mut guesses, mut told) = (Times::default(), [const { Vec::new() }; 3]);
    for _ in 0..ROUNDS {
        let guess = random.next(KINDS);
        match random.next(5) {
            kind @ 0..2 => {
                let text = [&near, &far][kind][guess].as_str();
                guesses.note(kind, timed(&api, text, Outcome::Refused).await);
            }
            2 => told[0].push(timed(&api, &known, Outcome::Admitted).await),
            3 => told[1].push(timed(&api, &revoked.secret, Outcome::Refused).await),
            _ => told[2].push(timed(&api, &far[guess], Outcome::Refused).await),
        }
    }
    let name =
        "timing over HTTP: unknown keys that differ from a good one in one character, and others";
    guesses.report(report, name);
    let [known, revoked, unknown] = told.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    for (name, median) in [("known", known), ("revoked", revoked)] {
        let apart = median.abs_diff(unknown);
        let figure = format!("medians {median:.1?} and {unknown:.1?}");
        let name = format!("timing over HTTP: {name} keys and unknown ones");
        report.row(name, figure, format!("{APART:?} apart"), apart <= APART);
    }
}

async fn timed(api: &Api, text: &str, expected: Outcome) -> Duration {
    let began = Instant::now();
    let outcome = api.auth(0, text).await;
    let took = began.elapsed();
    assert_eq!(outcome, expected);
    took
}

/// A text that differs from a key in one character of its secret, and whose checksum is right.
fn near(key: &str, number: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (secret, _) = key.split_at(key.len() - 6);
    let mut near = secret.as_bytes().to_vec();
    let at = near.len() - 1 - number % 40;
    let digit = DIGITS.iter().position(|digit| *digit == near[at]).expect("a digit");
    near[at] = DIGITS[(digit + 1 + number / 40) % 62];
    let mut rest = crc32fast::hash(&near);
    let mut checksum = [b'0'; 6];
    for digit in checksum.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(rest % 62).expect("a digit")];
        rest /= 62;
    }
    near.extend(checksum);
    let near = String::from_utf8(near).expect("a text");
    assert!(Issuer::new().keyring().recognises(near.as_bytes()), "{near}: it is looked up");
    near
}

/// In process: digests that are looked up in what is cached, and MACs of what lies in a shared cache.
pub(crate) async fn tells_nothing_in_process(report: &mut Report) {
    digests(report).await;
    macs(report).await;
}

/// Digests that differ from that of a cached record in the last byte, and in the first.
///
/// Where in a table and in memory they lie is another matter in each cache, since its hashes are
/// seeded, and worth a nanosecond or two to one kind or the other: many caches, each of which counts
/// for one.
async fn digests(report: &mut Report) {
    const CACHES: usize = 64;
    // For so many degrees of freedom, 5 is one in a hundred thousand runs.
    const MOST: f64 = 5.0;
    let mut random = Random(8);
    let mut apart = Vec::with_capacity(CACHES);
    for _ in 0..CACHES {
        let mut times = look_up_digests(&mut random).await;
        times.crop();
        let [one, other] = times.means();
        apart.push(one.0 - other.0);
    }
    let (mean, error) = mean(&apart);
    let t = mean / error.sqrt();
    let figure = format!("t = {t:.1}, {mean:.2} ns in {CACHES} caches");
    let name = "timing in process: digests that differ in the last byte, and in the first";
    report.row(name, figure, format!("between -{MOST} and {MOST}"), t.abs() < MOST);
}

/// How long it takes in one cache.
async fn look_up_digests(random: &mut Random) -> Times {
    const ROUNDS: usize = 50_000;
    const KEYS: usize = 40;
    const OF_EACH: usize = 255;
    let store = MemoryStore::new();
    let options = CacheOptions::new().unknown_lifetime(Duration::from_secs(60));
    let options = options.unknown_capacity(100_000);
    let lookup = Arc::new(CachedLookup::with_options(store.clone(), options));
    let (auth, background) = Authenticator::new(Arc::clone(&lookup)).start();
    let mut guesses = [const { Vec::new() }; 2];
    for _ in 0..KEYS {
        let digest = admitted(&store, &auth).await;
        for (at, guesses) in [31, 0].into_iter().zip(&mut guesses) {
            guesses.extend((1..=u8::MAX).map(|difference| {
                let mut bytes = *digest.as_bytes();
                bytes[at] ^= difference;
                KeyDigest::from_bytes(bytes)
            }));
        }
    }
    let mut times = Times::default();
    // By turns, so that neither kind lies together in memory.
    for pair in guesses[0].iter().zip(&guesses[1]) {
        for guess in [pair.0, pair.1] {
            assert!(lookup.find(guess).await.expect("an answer").is_none(), "nobody has it");
        }
    }
    for _ in 0..ROUNDS {
        let kind = random.next(2);
        let guess = &guesses[kind][random.next(KEYS * OF_EACH)];
        let began = Instant::now();
        let peeked = lookup.peek(guess);
        let took = began.elapsed();
        match peeked {
            Peek::Unknown => times.note(kind, took),
            Peek::Ask => assert!(lookup.find(guess).await.expect("an answer").is_none()),
            _ => panic!("nobody has it"),
        }
    }
    background.shutdown().await;
    times
}

/// Records whose MAC is wrong in the last byte, and in the first.
async fn macs(report: &mut Report) {
    const ROUNDS: usize = 300_000;
    let (store, planted) = (MemoryStore::new(), Planted::default());
    // Nothing is kept in the process, so that each lookup reads what is shared.
    let lookup = CachedLookup::with_options(store.clone(), CacheOptions::new().capacity(0));
    let lookup = Arc::new(lookup.with_shared(planted.clone()));
    let (auth, background) = Authenticator::new(Arc::clone(&lookup)).start();
    let digest = admitted(&store, &auth).await;
    while planted.sealed(&digest).is_none() {
        assert!(lookup.find(&digest).await.expect("an answer").is_some());
        tokio::task::yield_now().await;
    }
    let (mut times, mut random) = (Times::default(), Random(9));
    for _ in 0..ROUNDS {
        let kind = random.next(2);
        planted.wrong.store([MAC_ENDS, MAC_BEGINS][kind], Ordering::Relaxed);
        let began = Instant::now();
        let found = lookup.find(&digest).await;
        times.note(kind, began.elapsed());
        assert!(found.expect("an answer").is_some(), "the store has it");
    }
    // But for moments in which it has not heard from the store.
    let read = planted.read.load(Ordering::Relaxed);
    assert!(read >= ROUNDS / 10 * 9, "{read}: it reads what is shared");
    background.shutdown().await;
    times.report(
        report,
        "timing in process: MACs that are wrong in the last byte, and in the first",
    );
}

/// The digest of a key that is issued, and let through.
async fn admitted(store: &MemoryStore, auth: &Authenticator) -> KeyDigest {
    let key = store.issue(NewKey::named("known")).await.expect("a key");
    let facts = RequestFacts::new();
    while !matches!(auth.verify(key.reveal(), &facts).await, Ok(Ok(_))) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    KeyDigest::from_bytes(Sha256::digest(key.reveal()).into())
}

/// After one byte for the format.
const MAC_BEGINS: usize = 1;
const MAC_ENDS: usize = 32;

/// A shared cache whose entries are wrong in one byte.
#[derive(Clone, Debug, Default)]
struct Planted {
    entries: Arc<Mutex<HashMap<KeyDigest, Vec<u8>>>>,
    wrong: Arc<AtomicUsize>,
    read: Arc<AtomicUsize>,
}

impl Planted {
    fn sealed(&self, digest: &KeyDigest) -> Option<Vec<u8>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }
}

impl SharedCache for Planted {
    async fn get(&self, _: &str, digest: &KeyDigest) -> Result<Option<Vec<u8>>, LookupError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        let Some(mut sealed) = self.sealed(digest) else { return Ok(None) };
        sealed[self.wrong.load(Ordering::Relaxed)] ^= 0x55;
        Ok(Some(sealed))
    }

    async fn put(
        &self,
        _: &str,
        digest: &KeyDigest,
        entry: SharedEntry,
    ) -> Result<(), LookupError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.entry(*digest).or_insert(entry.sealed);
        Ok(())
    }

    async fn remove(&self, _: &str, _: &KeyDigest) -> Result<(), LookupError> {
        Ok(())
    }
}
