//! Fuzz targets without a fuzzer.

use std::path::Path;

/// Runs a fuzz target's check on every file of its corpus, in `tests/fuzz/corpus`, and on what
/// comes of each when a byte of it is another, is missing, or is there twice.
///
/// # Panics
///
/// Where the check does, and where there is no corpus to speak of.
pub fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).expect("the target's corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        check(&bytes);
        for (at, byte) in bytes.iter().enumerate() {
            let (before, after) = (&bytes[..at], &bytes[at + 1..]);
            for changed in [&[byte ^ 1][..], &[byte ^ 0x80], &[], &[*byte, *byte]] {
                check(&[before, changed, after].concat());
            }
        }
        files += 1;
    }
    assert!(files >= 5, "a corpus of {files} files is none");
}
