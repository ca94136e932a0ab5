//! What may be shown of a key forever.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::KeyPrefix;

/// The prefix and first four characters of a secret, so that people can tell keys apart.
///
/// The 39 characters left have 232 bits. Of a custom key shorter than 32 characters
/// nothing is shown, since four could be a quarter of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHint(Box<str>);

impl KeyHint {
    /// Takes a hint back from a store.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The text, like `sk_live_Ab3d`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of the key this is a hint of; `None` for a custom key.
    pub(crate) fn prefix(&self) -> Option<KeyPrefix> {
        self.0.rsplit_once('_').and_then(|(prefix, _)| KeyPrefix::new(prefix).ok())
    }

    pub(crate) fn of_generated(key: &str) -> Self {
        let secret = key.rfind('_').map_or(0, |underscore| underscore + 1);
        Self(key.chars().take(secret + 4).collect())
    }

    pub(crate) fn of_custom(key: &str) -> Self {
        let shown = if key.len() < 32 { 0 } else { 4 };
        Self(key.chars().take(shown).collect())
    }
}

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
