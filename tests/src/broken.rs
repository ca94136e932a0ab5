//! A store that is down.

use std::sync::Arc;

use keyauth_core::{KeyDigest, KeyLookup, KeyRecord, Keyring, LookupError};

/// A store that gives no answer.
#[derive(Clone, Debug, Default)]
pub struct Broken(Keyring);

impl KeyLookup for Broken {
    fn keyring(&self) -> &Keyring {
        &self.0
    }

    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        Err(LookupError::unavailable("the disk is on fire"))
    }
}
