//! What issuing gives back.

use crate::{Key, KeyId, KeyRef, PlaintextKey};

/// A key that was just issued or rotated, with its plaintext for the one time it exists.
#[derive(Debug)]
pub struct IssuedKey {
    key: Key,
    plaintext: PlaintextKey,
}

impl IssuedKey {
    pub(crate) const fn new(key: Key, plaintext: PlaintextKey) -> Self {
        Self { key, plaintext }
    }

    /// The text to hand to the holder. It is stored nowhere and cannot be had again.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.plaintext.reveal()
    }

    /// Names the key for good.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.key.id
    }

    /// The key as stored.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }
}

impl From<&IssuedKey> for KeyRef {
    fn from(issued: &IssuedKey) -> Self {
        Self::from(&issued.key)
    }
}
