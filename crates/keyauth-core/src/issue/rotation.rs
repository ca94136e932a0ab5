//! How a key gets a new secret.

use std::time::Duration;

use crate::PlaintextKey;

/// A new secret for a key, and an end for the old one.
///
/// It is generated under the prefix of the old one; behind a custom key, under the keyring's
/// first.
///
/// However often a key is rotated, at most two of its secrets work: the newest, and for
/// the grace the one before.
#[derive(Debug)]
pub struct Rotation {
    pub(super) grace: Duration,
    pub(super) custom: Option<PlaintextKey>,
}

impl Rotation {
    /// The old secret stops working at once. Right where it may have leaked.
    #[must_use]
    pub const fn immediate() -> Self {
        Self { grace: Duration::ZERO, custom: None }
    }

    /// The old secret goes on working for `grace`, so that its holders can change over.
    #[must_use]
    pub const fn with_grace(grace: Duration) -> Self {
        Self { grace, custom: None }
    }

    /// Takes a secret of the holder's own choosing; see [`NewKey::custom`](crate::NewKey::custom).
    #[must_use]
    pub fn custom(self, key: &str) -> Self {
        Self { custom: Some(PlaintextKey::custom(key)), ..self }
    }
}
