//! What a key begins with.

use std::fmt;
use std::sync::Arc;

/// The longest prefix, in characters.
const MAX_LEN: usize = 32;

/// The part of a key that says whose it is and what for, like `sk_live`.
///
/// 1 to 32 ASCII letters, digits and underscores that begin and end with a letter or
/// digit. Everything before the last underscore of a key is its prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix(Arc<str>);

impl KeyPrefix {
    /// Takes a text that keeps the rules above.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix`] where it does not.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidPrefix> {
        let text = text.as_ref();
        let allowed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if text.is_empty() || text.len() > MAX_LEN || !allowed {
            return Err(InvalidPrefix);
        }
        if text.starts_with('_') || text.ends_with('_') {
            return Err(InvalidPrefix);
        }
        Ok(Self(text.into()))
    }

    /// The text, without the underscore that follows it in a key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the prefix and its underscore, where `key` begins with both.
    pub(crate) fn strip<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        key.strip_prefix(self.0.as_bytes())?.strip_prefix(b"_")
    }
}

impl Default for KeyPrefix {
    /// `sk`, as in "secret key".
    fn default() -> Self {
        Self("sk".into())
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPrefix({})", self.0)
    }
}

/// A text was no key prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPrefix;

impl fmt::Display for InvalidPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be 1 to 32 ASCII letters, digits and underscores, \
             with a letter or digit at both ends",
        )
    }
}

impl std::error::Error for InvalidPrefix {}
