//! Finding keys.

use std::sync::Arc;

use crate::{Background, KeyDigest, KeyRecord, Keyring, LookupError};

/// Finds keys. The hot path: one call per request.
///
/// # Contract
///
/// * An unknown digest is `Ok(None)`, never an error; no answer is an error, never `None`.
/// * Disabled, expired and revoked records are returned as they are; judging them is the
///   work of [`admit`](crate::admit).
/// * A record is read at one moment: no half of it is older than the other.
/// * [`peek`](KeyLookup::peek) does no I/O, and takes no lock that one subject could hold up
///   another with for longer than a memory access.
///
/// Checked by `keyauth_testkit::key_store_conformance!`.
pub trait KeyLookup: Send + Sync {
    /// The keyring its keys are issued with.
    fn keyring(&self) -> &Keyring;

    /// What is known without asking anybody.
    fn peek(&self, digest: &KeyDigest) -> Peek {
        let _ = digest;
        Peek::Ask
    }

    /// Finds the record whose secret has this digest.
    fn find(
        &self,
        digest: &KeyDigest,
    ) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, LookupError>> + Send;

    /// Finds a record for somebody who can tell when it is stale, and then asks
    /// [`find`](KeyLookup::find): a replica that lags may answer, by less than half an hour.
    /// That a digest is unknown must be as true as that method's answer.
    fn find_perhaps_stale(
        &self,
        digest: &KeyDigest,
    ) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, LookupError>> + Send {
        self.find(digest)
    }

    /// Forgets that a digest was unknown, where that is remembered: there may be news of it that
    /// nobody has told yet.
    fn forget_unknown(&self, digest: &KeyDigest) {
        let _ = digest;
    }

    /// Spawns what the lookup does beside requests, if anything, on the runtime it is called
    /// on. Where it runs already, nothing more is spawned.
    fn start(&self) -> Background {
        Background::none()
    }
}

/// What a lookup knows without asking anybody.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Peek {
    /// This record, fresh enough to decide by.
    Found(Arc<KeyRecord>),
    /// There is no such key, as of an answer fresh enough to decide by.
    Unknown,
    /// Nothing: [`KeyLookup::find`] must be asked.
    Ask,
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<L: KeyLookup + ?Sized> KeyLookup for $pointer {
            fn keyring(&self) -> &Keyring {
                (**self).keyring()
            }

            fn peek(&self, digest: &KeyDigest) -> Peek {
                (**self).peek(digest)
            }

            fn find(
                &self,
                digest: &KeyDigest,
            ) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, LookupError>> + Send {
                (**self).find(digest)
            }

            fn find_perhaps_stale(
                &self,
                digest: &KeyDigest,
            ) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, LookupError>> + Send {
                (**self).find_perhaps_stale(digest)
            }

            fn forget_unknown(&self, digest: &KeyDigest) {
                (**self).forget_unknown(digest);
            }

            fn start(&self) -> Background {
                (**self).start()
            }
        }
    )*};
}

forward!(&L, Arc<L>);
