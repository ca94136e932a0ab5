//! Secrets of the deployment that stored digests are made under.

use std::fmt;

use hmac::{Hmac, KeyInit};
use sha2::Sha256;

use crate::{InvalidInput, Problem};

/// The shortest pepper, in bytes: the output length of SHA-256 (RFC 2104 section 3).
const MIN_LEN: usize = 32;

/// A numbered secret of the deployment that digests of keys are made under.
///
/// With a pepper, whoever can write to the database still cannot mint a key. The number
/// is stored beside each digest, so that old and new peppers work side by side while keys
/// are rotated from one to the other.
#[derive(Clone)]
pub struct Pepper {
    number: u16,
    mac: Hmac<Sha256>,
}

impl Pepper {
    /// Pepper `number` with at least 32 secret bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] where there are fewer than 32 bytes.
    pub fn new(number: u16, secret: impl AsRef<[u8]>) -> Result<Self, InvalidInput> {
        let secret = secret.as_ref();
        let mac = Hmac::new_from_slice(secret).ok().filter(|_| secret.len() >= MIN_LEN);
        match mac {
            Some(mac) => Ok(Self { number, mac }),
            None => Err(Problem::new("pepper", "must have at least 32 bytes").into()),
        }
    }

    /// The number stored beside digests.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        self.mac.clone()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pepper").field("number", &self.number).finish_non_exhaustive()
    }
}
