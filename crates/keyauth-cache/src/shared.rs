//! The cache that instances share: sealing what goes there, distrusting what comes back.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use keyauth_core::{
    Clock, KeyDigest, KeyRecord, LookupError, Origin, SealKey, SharedCache, SharedEntry, Timestamp,
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::observe;

/// The first byte of a sealed record. A new layout gets a new one, and old ones are misses:
/// values stand there without their names, so whoever changes a record raises this.
const FORMAT: u8 = 6;
/// The format and an HMAC-SHA-256.
pub(crate) const HEAD_LEN: usize = 1 + 32;
/// A shared cache has a deadline of its own; this is for one that has forgotten.
const DEADLINE: Duration = Duration::from_secs(2);
/// How far the clocks of two instances may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// How long a record may be in a shared cache. With the skew, which may count twice, still
/// shorter than the half hour that a store keeps changes for at least: an instance that starts
/// knows of every change since.
const LONGEST_LIFETIME: Duration = Duration::from_secs(900);

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`SharedCache`] behind a pointer.
pub(crate) trait DynSharedCache: Debug + Send + Sync {
    fn get<'a>(
        &'a self,
        namespace: &'a str,
        digest: &'a KeyDigest,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, LookupError>>;

    fn put<'a>(
        &'a self,
        namespace: &'a str,
        digest: &'a KeyDigest,
        entry: SharedEntry,
    ) -> BoxFuture<'a, Result<(), LookupError>>;

    fn remove<'a>(
        &'a self,
        namespace: &'a str,
        digest: &'a KeyDigest,
    ) -> BoxFuture<'a, Result<(), LookupError>>;
}

impl<C: SharedCache> DynSharedCache for C {
    fn get<'a>(
        &'a self,
        namespace: &'a str,
        digest: &'a KeyDigest,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, LookupError>> {
        Box::pin(SharedCache::get(self, namespace, digest))
    }

    fn put<'a>(
        &'a self,
        namespace: &'a str,
        digest: &'a KeyDigest,
        entry: SharedEntry,
    ) -> BoxFuture<'a, Result<(), LookupError>> {
        Box::pin(SharedCache::put(self, namespace, digest, entry))
    }

    fn remove<'a>(
        &'a self,
        namespace: &'a str,
        digest: &'a KeyDigest,
    ) -> BoxFuture<'a, Result<(), LookupError>> {
        Box::pin(SharedCache::remove(self, namespace, digest))
    }
}

/// A shared cache and what is needed to use it.
#[derive(Debug)]
pub(crate) struct Shared {
    cache: Option<Arc<dyn DynSharedCache>>,
    /// The history that is current, as soon as the feed has told it.
    origin: RwLock<Option<Arc<Origin>>>,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
    /// Whether the last answer was none, to reading and to writing.
    reads_fail: AtomicBool,
    writes_fail: AtomicBool,
    /// Whether something was refused before.
    refused: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        cache: Option<Arc<dyn DynSharedCache>>,
        clock: Arc<dyn Clock>,
        lifetime: Duration,
    ) -> Self {
        let origin = RwLock::new(None);
        let lifetime = lifetime.min(LONGEST_LIFETIME);
        let [reads_fail, writes_fail, refused] = [const { AtomicBool::new(false) }; 3];
        Self { cache, origin, clock, lifetime, reads_fail, writes_fail, refused }
    }

    /// The cache, if there is one.
    pub(crate) fn cache(&self) -> Option<Arc<dyn DynSharedCache>> {
        self.cache.clone()
    }

    /// Moves on to another history. Says whether it is another one.
    pub(crate) fn follow(&self, origin: &Origin) -> bool {
        let mut current = self.origin.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| **current == *origin) {
            return false;
        }
        current.replace(Arc::new(origin.clone())).is_some()
    }

    /// The history that is current, where there is a cache to use.
    pub(crate) fn origin(&self) -> Option<Arc<Origin>> {
        self.cache.as_ref()?;
        self.origin.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads a record. Whatever is wrong with it or with the cache, it is a miss.
    pub(crate) async fn get(&self, origin: &Origin, digest: &KeyDigest) -> Option<KeyRecord> {
        let cache = self.cache.as_ref()?;
        let found = timeout(DEADLINE, cache.get(&place(origin), digest)).await;
        let sealed = noted(found, &self.reads_fail)??;
        let opened = open(origin, digest, &sealed).filter(|opened| self.is_recent(opened));
        if opened.is_none() {
            observe::refused_shared_entry(!self.refused.swap(true, Ordering::Relaxed));
            self.remove(origin, digest).await;
        }
        opened.map(|opened| opened.record)
    }

    /// Writes a record that was asked for at a time, under the history that was current then,
    /// if nobody has written a newer one.
    pub(crate) async fn put(
        &self,
        origin: &Origin,
        digest: &KeyDigest,
        record: &KeyRecord,
        asked_at: Timestamp,
    ) {
        let Some(cache) = &self.cache else { return };
        let Some(sealed) = seal(origin, digest, &Content { asked_at, record }) else { return };
        let entry = SharedEntry { versions: record.versions, sealed, lifetime: self.lifetime };
        let written = timeout(DEADLINE, cache.put(&place(origin), digest, entry)).await;
        noted(written, &self.writes_fail);
    }

    /// Removes what is good for nothing: it may look newer than anything that will be written.
    pub(crate) async fn remove(&self, origin: &Origin, digest: &KeyDigest) {
        let Some(cache) = &self.cache else { return };
        let removed = timeout(DEADLINE, cache.remove(&place(origin), digest)).await;
        noted(removed, &self.writes_fail);
    }

    /// Marks do not live for ever, so a record that the cache has kept for longer than it was
    /// told to must not be believed.
    fn is_recent(&self, opened: &Content<KeyRecord>) -> bool {
        let now = self.clock.now();
        let age = now.saturating_duration_since(opened.asked_at);
        let ahead = opened.asked_at.saturating_duration_since(now);
        age <= self.lifetime + CLOCK_SKEW && ahead <= CLOCK_SKEW
    }
}

/// Where the entries of a history are, as this version writes them: while a fleet is upgraded, the
/// old ones and the new ones leave each other's alone.
fn place(origin: &Origin) -> String {
    format!("{}.{FORMAT}", origin.name)
}

/// The answer, if there is one.
fn noted<T>(answer: Result<Result<T, LookupError>, Elapsed>, failing: &AtomicBool) -> Option<T> {
    match answer.map_err(LookupError::unavailable).flatten() {
        Ok(answer) => {
            failing.store(false, Ordering::Relaxed);
            Some(answer)
        }
        Err(error) => {
            observe::shared_cache_failed(&error, !failing.swap(true, Ordering::Relaxed));
            None
        }
    }
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Content<R> {
    pub(crate) asked_at: Timestamp,
    pub(crate) record: R,
}

/// `format, mac, content`; the mac is over the history, the digest and the content, so that
/// no entry can be passed off as another's.
pub(crate) fn seal(
    origin: &Origin,
    digest: &KeyDigest,
    content: &Content<&KeyRecord>,
) -> Option<Vec<u8>> {
    let mut sealed = vec![0; HEAD_LEN];
    rmp_serde::encode::write(&mut sealed, content).ok()?;
    seal_in_place(origin, digest, &mut sealed)?;
    Some(sealed)
}

/// Fills in what stands before a content.
pub(crate) fn seal_in_place(origin: &Origin, digest: &KeyDigest, sealed: &mut [u8]) -> Option<()> {
    let (head, content) = sealed.split_at_mut_checked(HEAD_LEN)?;
    let (format, sum) = head.split_first_mut()?;
    *format = FORMAT;
    sum.copy_from_slice(&mac(origin, digest, content)?.finalize().into_bytes());
    Some(())
}

pub(crate) fn open(
    origin: &Origin,
    digest: &KeyDigest,
    sealed: &[u8],
) -> Option<Content<KeyRecord>> {
    let (head, content) = sealed.split_at_checked(HEAD_LEN)?;
    let (format, expected) = head.split_first()?;
    if *format != FORMAT {
        return None;
    }
    mac(origin, digest, content)?.verify_slice(expected).ok()?;
    rmp_serde::from_slice(content).ok()
}

fn mac(origin: &Origin, digest: &KeyDigest, content: &[u8]) -> Option<Hmac<Sha256>> {
    let seal: &SealKey = &origin.seal;
    let mac = Hmac::<Sha256>::new_from_slice(seal.as_bytes()).ok()?;
    let name = origin.name.as_bytes();
    let len = u64::try_from(name.len()).ok()?;
    // The length keeps the parts apart: no other history and digest add up to the same.
    let mac = mac.chain_update([FORMAT]).chain_update(len.to_be_bytes()).chain_update(name);
    Some(mac.chain_update(digest.as_bytes()).chain_update(content))
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    #[test]
    fn who_changes_the_layout_of_a_record_raises_its_format() {
        let record = include_str!("../tests/record.json");
        let record: KeyRecord = serde_json::from_str(record).expect("a record");
        let content = Content { asked_at: Timestamp::from_micros(1), record: &record };
        let packed = rmp_serde::to_vec(&content).expect("packed");
        let digest: String =
            Sha256::digest(&packed).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (FORMAT, digest.as_str()),
            (6, "18c8defeb52f684dc078fd29043b60790a8802c3023a1832ace8fc6c6ef9279d"),
            "another layout: raise FORMAT, and write both down here"
        );
        let read: Content<KeyRecord> = rmp_serde::from_slice(&packed).expect("read back");
        assert_eq!(read.record, record);
    }
}
