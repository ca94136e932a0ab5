//! Keys of other systems.

use super::KeyStore;
use crate::{
    ImportedHash, ImportedSecret, Key, KeyDigest, LookupError, NewImport, NewKey, NewSecret,
    PlaintextKey, SecretId, StoreError,
};

/// Keeps hashes of keys that other systems have issued, until each is presented once.
///
/// # Contract
///
/// * Until then a key is there like any other, and its secret unknown to lookups.
/// * What ends, revokes or deletes a key's secrets does so with these too.
/// * A hash is replaced by a digest as a whole or not at all, and by one of many who try.
/// * No more than [`MOST_ALIKE`](Self::MOST_ALIKE) are found by the same digest, and no hash is there
///   twice, presented or not.
///
/// Checked by `keyauth_testkit::import_store_conformance!`.
pub trait ImportStore: KeyStore {
    /// How many slow hashes may be found by the same beginning: so many are tried for a key.
    const MOST_ALIKE: usize = 16;

    /// Writes a new key with a hash, and its owner where that is new.
    ///
    /// # Errors
    ///
    /// Those of [`KeyStore::insert`], and
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) of `begins_with` where too many have
    /// that beginning; [`Taken`](crate::StoreErrorKind::Taken) where the hash was imported before, and
    /// its key is not deleted.
    fn insert_imported(
        &self,
        key: &Key,
        secret: &NewImport,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads the hashes that are found by any of these.
    fn imported(
        &self,
        lookups: &[KeyDigest],
    ) -> impl Future<Output = Result<Vec<(SecretId, ImportedHash)>, LookupError>> + Send;

    /// Puts a secret in the place of the hash of the same name, with the end that has. Where that
    /// is gone, or the digest is there already, nothing is done.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn replace_imported(
        &self,
        secret: &NewSecret,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes over a key of another system by its hash. Its holder goes on using the text he has.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) with every problem, and those of
    /// [`insert_imported`](Self::insert_imported).
    fn import(
        &self,
        new: NewKey,
        secret: ImportedSecret,
    ) -> impl Future<Output = Result<Key, StoreError>> + Send {
        async {
            let (key, secret) = self.issuer().adopt(new, secret)?;
            self.insert_imported(&key, &secret).await?;
            Ok(key)
        }
    }

    /// Has a presented key, whose hash was verified, be known by its digest from now on.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn recognise(
        &self,
        imported: SecretId,
        key: &PlaintextKey,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.replace_imported(&self.issuer().recognised(imported, key)).await }
    }
}

/// Recognises keys of other systems when they are presented for the first time.
///
/// # Contract
///
/// * It is asked for every key that is unknown and of no shape of ours, each time that is presented:
///   what makes a no costly is remembered, for seconds, and by the whole key.
/// * No answer is an error, and is not remembered.
pub trait Importer: Send + Sync {
    /// Looks whether a key that is unknown was imported, and has it be known then.
    fn recognise(
        &self,
        key: PlaintextKey,
    ) -> impl Future<Output = Result<Recognition, LookupError>> + Send;
}

/// What came of a key that nobody knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recognition {
    /// It may be known now, here or by somebody else: it is to be looked up once more.
    LookAgain,
    /// It was found to be nobody's a moment ago.
    Nobodys,
}
