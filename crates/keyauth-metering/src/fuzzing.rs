//! What the fuzz targets of `tests/fuzz` check of what is private here.

use crate::usage::frame::{End, append, read};

/// Whatever lies in a spool: what is read of it is what was written, in the order it was, and what
/// is torn ends it.
///
/// # Panics
///
/// Where a property does not hold.
pub fn spool(bytes: &[u8]) {
    let (events, end) = read(bytes);
    let mut written = Vec::new();
    for event in &events {
        assert!(append(&mut written, event), "what was read can be written");
    }
    assert_eq!(read(&written), (events.clone(), End::Whole));
    // Behind what is torn nothing is believed, however good it is.
    let (again, end_of_both) = read(&[bytes, &written].concat());
    match end {
        End::Torn => assert_eq!((again.len(), end_of_both), (events.len(), End::Torn)),
        End::Whole => assert_eq!((again.len(), end_of_both), (2 * events.len(), End::Whole)),
    }
    // A checksum is easily made right, so the bytes are tried as what one stands over, too.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let sum = crc32fast::hash(bytes).to_le_bytes();
    let (events, end) = read(&[&len, &sum, bytes].concat());
    assert_eq!(end == End::Whole, events.len() == 1);
}

#[cfg(test)]
#[test]
fn the_corpus_of_spools() {
    keyauth_testkit::replay("spool", spool);
}
