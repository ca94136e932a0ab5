//! What the fuzz targets of `tests/fuzz` check of what is private here.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a check fails by panicking")]

use keyauth_core::{KeyDigest, Origin, SealKey};

use crate::shared::{Content, HEAD_LEN, open, seal, seal_in_place};

/// Whatever lies in a shared cache: without the seal it is nothing, whoever has the seal can make
/// records and nothing worse, and what is sealed is good in its own place alone.
///
/// # Panics
///
/// Where a property does not hold.
pub fn shared_entry(bytes: &[u8]) {
    let origin = Origin { name: "one".into(), seal: SealKey::from_bytes([1; 32]) };
    let digest = KeyDigest::from_bytes([2; 32]);
    assert!(open(&origin, &digest, bytes).is_none(), "nobody finds a seal by chance");
    let mut sealed = [&[0; HEAD_LEN], bytes].concat();
    seal_in_place(&origin, &digest, &mut sealed).expect("any bytes can be sealed");
    for at in [0, 1, HEAD_LEN - 1, sealed.len() - 1] {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(open(&origin, &digest, &damaged).is_none(), "byte {at} counts");
    }
    let other = KeyDigest::from_bytes([3; 32]);
    assert!(open(&origin, &other, &sealed).is_none(), "of another key");
    let elsewhere = Origin { name: "other".into(), ..origin.clone() };
    assert!(open(&elsewhere, &digest, &sealed).is_none(), "of another history");
    let Some(content) = open(&origin, &digest, &sealed) else { return };
    let content = Content { asked_at: content.asked_at, record: &content.record };
    let again = seal(&origin, &digest, &content).expect("what was read can be written");
    let again = open(&origin, &digest, &again).expect("and read again");
    assert_eq!((again.asked_at, &again.record), (content.asked_at, content.record));
}

#[cfg(test)]
#[test]
fn the_corpus_of_entries() {
    keyauth_testkit::replay("shared_entry", shared_entry);
}
