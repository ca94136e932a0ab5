//! What is stored of a key.

use std::fmt;

use hmac::Mac;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Pepper;

/// What stores and caches know a secret by: 32 bytes that do not lead back to it.
///
/// A fast hash is right here, because the secret has 256 bits: there is nothing to guess.
/// Custom keys may have less, which is why they need a [`Pepper`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Takes a digest back from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 of a key's text.
    pub(crate) fn plain(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// HMAC-SHA-256 of a key's text under a pepper (RFC 2104).
    pub(crate) fn peppered(key: &[u8], pepper: &Pepper) -> Self {
        Self(pepper.mac().chain_update(key).finalize().into_bytes().into())
    }
}

impl fmt::Debug for KeyDigest {
    /// Says nothing: a digest is no secret, but it names a key in every store.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// How a stored digest was made; stored beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DigestScheme {
    /// SHA-256, where no pepper is configured.
    Sha256,
    /// HMAC-SHA-256 under the pepper of this number.
    HmacSha256(u16),
}

impl DigestScheme {
    /// The word its algorithm is stored as.
    #[must_use]
    pub const fn algorithm(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::HmacSha256(_) => "hmac_sha256",
        }
    }

    /// The number of its pepper.
    #[must_use]
    pub const fn pepper(self) -> Option<u16> {
        match self {
            Self::Sha256 => None,
            Self::HmacSha256(pepper) => Some(pepper),
        }
    }
}
