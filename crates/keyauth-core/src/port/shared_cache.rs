//! A cache that several instances share.

use std::fmt::Debug;
use std::time::Duration;

use crate::{KeyDigest, LookupError, Versions};

/// Keeps sealed records where all instances find them.
///
/// Nothing safe rests on it: what it gives back is checked like any stranger's input, and
/// without it there is the store. That it fails is never a reason to refuse a key.
///
/// # Contract
///
/// * [`put`](SharedCache::put) writes nothing over an entry that [is
///   newer](Versions::is_newer_than), compared and written in one step.
/// * It has a deadline of its own, of some tens of milliseconds, which requests wait for; and
///   while it is known to be away it fails at once.
/// * Entries may be lost at any time, and should be no later than their lifetime.
/// * `namespace` keeps histories apart: an entry of one is never found in another.
/// * Of what it is given, nothing but the namespace and the digest names an entry, and nothing but
///   the versions and the sealed bytes is kept in it.
pub trait SharedCache: Debug + Send + Sync {
    /// Reads a sealed record.
    fn get(
        &self,
        namespace: &str,
        digest: &KeyDigest,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, LookupError>> + Send;

    /// Writes a sealed record over an older one or none.
    fn put(
        &self,
        namespace: &str,
        digest: &KeyDigest,
        entry: SharedEntry,
    ) -> impl Future<Output = Result<(), LookupError>> + Send;

    /// Removes what was read and is good for nothing, so that it keeps nothing better out.
    fn remove(
        &self,
        namespace: &str,
        digest: &KeyDigest,
    ) -> impl Future<Output = Result<(), LookupError>> + Send;
}

/// What is written to a [`SharedCache`].
#[derive(Clone, Debug)]
pub struct SharedEntry {
    /// The versions of the record.
    pub versions: Versions,
    /// The record, sealed.
    pub sealed: Vec<u8>,
    /// How long it is worth keeping.
    pub lifetime: Duration,
}
