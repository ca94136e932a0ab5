//! The cases of [`shared_cache_conformance!`](crate::shared_cache_conformance) and
//! [`hints_conformance!`](crate::hints_conformance).
//!
//! Called by the macros; each takes what was just opened.

use std::time::Duration;

use keyauth_core::{
    Change, ChangeObserver, Hints, KeyDigest, SharedCache, SharedEntry, Version, Versions,
};

const NAMESPACE: &str = "4ae4fdb5-7c77-4b09-a3d4-8f2b8a0f2a52";
const PATIENCE: Duration = Duration::from_secs(20);

fn versions([key, everything, tenant, owner, group]: [u64; 5]) -> Versions {
    let [key, everything, tenant, owner, group] =
        [key, everything, tenant, owner, group].map(Version::new);
    Versions { everything, tenant, owner, group, key }
}

fn entry(versions: Versions, sealed: &[u8]) -> SharedEntry {
    SharedEntry { versions, sealed: sealed.to_vec(), lifetime: Duration::from_secs(60) }
}

/// Bytes come back as they were, under their own name and no other, until they are removed.
pub async fn what_was_put_is_found(cache: impl SharedCache) {
    let all_bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let (first, second) = (KeyDigest::from_bytes([1; 32]), KeyDigest::from_bytes([0xff; 32]));
    let found = async |namespace: &str, digest: &KeyDigest| {
        cache.get(namespace, digest).await.expect("an answer")
    };
    assert_eq!(found(NAMESPACE, &first).await, None);
    let one = entry(versions([1; 5]), &all_bytes);
    cache.put(NAMESPACE, &first, one).await.expect("written");
    cache.put(NAMESPACE, &second, entry(versions([1; 5]), b"")).await.expect("written");
    assert_eq!(found(NAMESPACE, &first).await.as_deref(), Some(all_bytes.as_slice()));
    assert_eq!(found(NAMESPACE, &second).await.as_deref(), Some(b"".as_slice()));
    assert_eq!(found("another history", &first).await, None);
    assert_eq!(found(NAMESPACE, &KeyDigest::from_bytes([2; 32])).await, None);
    cache.remove(NAMESPACE, &first).await.expect("removed");
    cache.remove(NAMESPACE, &first).await.expect("that it is not there is no error");
    assert_eq!(found(NAMESPACE, &first).await, None);
    assert!(found(NAMESPACE, &second).await.is_some());
    let older = entry(versions([0; 5]), b"older");
    cache.put(NAMESPACE, &first, older).await.expect("written");
    assert_eq!(found(NAMESPACE, &first).await.as_deref(), Some(b"older".as_slice()));
}

/// The rule is that of [`Versions::is_newer_than`], exact for every version there can be.
pub async fn nothing_is_written_over_what_is_newer(cache: impl SharedCache) {
    let high = u64::MAX;
    let cases = [
        ([5, 1, 1, 1, 1], [5, 1, 1, 1, 1]),
        ([5, 1, 1, 1, 1], [6, 1, 1, 1, 1]),
        ([5, 1, 1, 1, 1], [4, 9, 9, 9, 9]),
        ([5, 1, 1, 1, 1], [6, 0, 0, 0, 0]),
        ([5, 2, 1, 1, 1], [5, 1, 9, 9, 9]),
        ([5, 1, 2, 1, 1], [5, 1, 1, 9, 9]),
        ([5, 1, 1, 2, 1], [5, 1, 1, 1, 9]),
        ([5, 1, 1, 1, 2], [5, 9, 9, 9, 1]),
        ([5, 1, 1, 1, 2], [5, 1, 1, 1, 3]),
        // Beyond what a double holds, and with bytes that are no text.
        ([high, 1, 1, 1, 1], [high - 1, 1, 1, 1, 1]),
        ([high - 1, 1, 1, 1, 1], [high, 1, 1, 1, 1]),
        ([(1 << 53) + 1, 1, 1, 1, 1], [1 << 53, 1, 1, 1, 1]),
        ([1 << 53, 1, 1, 1, 1], [(1 << 53) + 1, 1, 1, 1, 1]),
        ([1 << 32, 1, 1, 1, 1], [(1 << 32) - 1, 1, 1, 1, 1]),
        ([0x7fff_ffff_ffff_ffff, 1, 1, 1, 1], [0x8000_0000_0000_0000, 1, 1, 1, 1]),
        ([5, high, 1, 1, 1], [5, high - 1, 1, 1, 1]),
        ([5, 1, 1, 1, high - 1], [5, 1, 1, 1, high]),
    ];
    for (number, (there, new)) in cases.into_iter().enumerate() {
        let digest = KeyDigest::from_bytes([u8::try_from(number).expect("few cases"); 32]);
        cache.put(NAMESPACE, &digest, entry(versions(there), b"there")).await.expect("written");
        cache.put(NAMESPACE, &digest, entry(versions(new), b"new")).await.expect("an answer");
        let stays = versions(there).is_newer_than(&versions(new));
        let expected = if stays { b"there".as_slice() } else { b"new" };
        let found = cache.get(NAMESPACE, &digest).await.expect("an answer");
        assert_eq!(found.as_deref(), Some(expected), "{there:?}, then {new:?}");
    }
}

/// Entries are no later than their lifetime.
pub async fn entries_end(cache: impl SharedCache) {
    let digest = KeyDigest::from_bytes([1; 32]);
    for lifetime in [Duration::ZERO, Duration::from_millis(300)] {
        let short = SharedEntry { lifetime, ..entry(versions([1; 5]), b"short-lived") };
        cache.put(NAMESPACE, &digest, short).await.expect("written");
        let ending = async {
            while cache.get(NAMESPACE, &digest).await.expect("an answer").is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ending).await.expect("it ends");
    }
}

/// Each hears the other, again and again, and nothing where nothing happens.
pub async fn a_change_here_is_a_sign_there<H: Hints>((here, there): (H, H)) {
    let hear = async |hints: &H| tokio::time::timeout(PATIENCE, hints.receive()).await;
    // That it begins to listen is a sign too: something may have happened before.
    for hints in [&here, &there] {
        hear(hints).await.expect("it listens");
    }
    for _ in 0..3 {
        for (from, to) in [(&here, &there), (&there, &here)] {
            ChangeObserver::changed(from, &[Change::NewSecrets]);
            hear(to).await.expect("a sign");
            // Whoever gives a sign may hear it himself.
            let _ = tokio::time::timeout(Duration::from_millis(100), from.receive()).await;
        }
    }
    let quiet = Duration::from_millis(300);
    let heard = tokio::time::timeout(quiet, there.receive()).await;
    assert!(heard.is_err(), "a sign of nothing");
}
