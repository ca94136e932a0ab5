//! The object-safe twin of [`Importer`].

use std::pin::Pin;
use std::sync::Arc;

use crate::{Importer, LookupError, PlaintextKey, Recognition};

/// A presented key being recognised.
pub(super) type ImportFuture =
    Pin<Box<dyn Future<Output = Result<Recognition, LookupError>> + Send>>;

/// [`Importer`] behind a pointer, so that no type parameter reaches the user's types.
pub(super) trait DynImporter: Send + Sync {
    fn recognise(self: Arc<Self>, key: PlaintextKey) -> ImportFuture;
}

impl<I: Importer + 'static> DynImporter for I {
    fn recognise(self: Arc<Self>, key: PlaintextKey) -> ImportFuture {
        Box::pin(async move { Importer::recognise(&*self, key).await })
    }
}
