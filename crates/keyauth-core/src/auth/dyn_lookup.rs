//! The object-safe twin of [`KeyLookup`].

use std::sync::Arc;

use super::LookupFuture;
use crate::{Background, KeyDigest, KeyLookup, Peek};

/// [`KeyLookup`] behind a pointer, so that no type parameter reaches the user's types.
pub(super) trait DynLookup: Send + Sync {
    fn peek(&self, digest: &KeyDigest) -> Peek;

    fn forget_unknown(&self, digest: &KeyDigest);

    fn start(&self) -> Background;

    /// Finds the first of several digests that is known, in one boxed future.
    fn find_any(self: Arc<Self>, digests: Vec<KeyDigest>) -> LookupFuture;
}

impl<L: KeyLookup + 'static> DynLookup for L {
    fn peek(&self, digest: &KeyDigest) -> Peek {
        KeyLookup::peek(self, digest)
    }

    fn forget_unknown(&self, digest: &KeyDigest) {
        KeyLookup::forget_unknown(self, digest);
    }

    fn start(&self) -> Background {
        KeyLookup::start(self)
    }

    fn find_any(self: Arc<Self>, digests: Vec<KeyDigest>) -> LookupFuture {
        Box::pin(async move {
            for digest in &digests {
                if let Some(record) = self.find(digest).await? {
                    return Ok(Some(record));
                }
            }
            Ok(None)
        })
    }
}
