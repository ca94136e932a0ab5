//! A text that may be a key, as a request brought it.

use std::fmt;

/// A text shaped like one of our keys, not yet known to be one.
///
/// Borrowed from the request, so that parsing allocates and copies nothing. Built by
/// [`Keyring::parse`](crate::Keyring::parse) alone.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a>(&'a [u8]);

impl<'a> PresentedKey<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    pub(crate) const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedKey(..)")
    }
}
