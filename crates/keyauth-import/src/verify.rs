//! Slow hashes.

use std::error::Error;

use argon2::password_hash::Error as Argon2Error;
use argon2::{Argon2, PasswordVerifier};
use keyauth_core::{HashAlgorithm, ImportedHash};

/// Below as many bytes bcrypt looks at the whole key, and at its end. A longer one could be
/// anybody's that begins so.
const BCRYPT_LEN: usize = 72;

/// Whether a hash is a key's.
///
/// # Errors
///
/// Where that cannot be told: for want of memory, say. That is no "no".
pub(crate) fn verify_slowly(
    key: &str,
    hash: &ImportedHash,
) -> Result<bool, Box<dyn Error + Send + Sync>> {
    match hash.algorithm() {
        HashAlgorithm::Bcrypt if key.len() < BCRYPT_LEN => {
            // Its error may repeat the hash.
            bcrypt::verify(key, hash.as_str()).map_err(|_| "bcrypt could not read the hash".into())
        }
        HashAlgorithm::Argon2 => {
            match Argon2::default().verify_password(key.as_bytes(), hash.as_str()) {
                Ok(()) => Ok(true),
                Err(Argon2Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
        _ => Ok(false),
    }
}
