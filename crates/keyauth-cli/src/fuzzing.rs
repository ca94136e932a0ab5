//! What the fuzz targets of `tests/fuzz` check of what is private here.

use crate::settings::read_texts;

/// Whatever stands in files of settings and of peppers: it is understood, or what is wrong is told
/// without what may be a password or a pepper. An `@` stands for a secret.
///
/// # Panics
///
/// Where a property does not hold.
pub fn settings(bytes: &[u8]) {
    const SECRET: &str = "5ecre7f00d5ecre7f00d";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.replace('@', SECRET);
    // A URL with a password is written with the sign itself.
    let settings = text.replace('~', "@");
    for outcome in read_texts(&settings, &text) {
        if let Err(failure) = outcome {
            // Names are told, so that they can be corrected.
            let told = failure.to_string();
            assert!(!told.contains(SECRET) || told.contains("is unknown"), "{told}");
        }
    }
}

#[cfg(test)]
#[test]
fn the_corpus_of_settings() {
    keyauth_testkit::replay("settings", settings);
}
