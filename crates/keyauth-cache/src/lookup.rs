//! The cache, as a lookup in front of a store.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use keyauth_core::{
    Background, ChangeFeed, ChangeObserver, Hints, KeyDigest, KeyLookup, KeyRecord, Keyring,
    LookupError, Peek, SharedCache,
};
use tokio::sync::oneshot;

use crate::CacheOptions;
use crate::background;
use crate::inner::Inner;

/// A store's records, kept at hand for as long as they are good.
///
/// See the [crate docs](crate) for an example. Cloning gives another handle to the same cache.
#[derive(Debug)]
pub struct CachedLookup<L>(Arc<Inner<Arc<L>>>);

impl<L> Clone for CachedLookup<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: ChangeFeed + 'static> CachedLookup<L> {
    /// A cache in front of a store, with the default [`CacheOptions`].
    pub fn new(store: L) -> Self {
        Self::with_options(store, CacheOptions::new())
    }

    /// A cache in front of a store, with numbers of one's own.
    pub fn with_options(store: L, options: CacheOptions) -> Self {
        Self(Arc::new(Inner::new(Arc::new(store), options, None, None)))
    }

    /// Puts a cache that instances share between this one and the store. To be called before
    /// the lookup is cloned or started: what it gives back is a cache of its own.
    #[must_use]
    pub fn with_shared(self, cache: impl SharedCache + 'static) -> Self {
        let (store, options) = (Arc::clone(&self.0.store), self.0.options.clone());
        let hints = self.0.hints.clone();
        Self(Arc::new(Inner::new(store, options, Some(Arc::new(cache)), hints)))
    }

    /// Has other instances told of changes, and listens to theirs, by another way than the
    /// store's own. To be called before the lookup is cloned or started, as
    /// [`with_shared`](Self::with_shared) is.
    ///
    /// A process that makes changes and serves nothing takes
    /// [`observe`](ChangeFeed::observe) of its store.
    #[must_use]
    pub fn with_hints(self, hints: impl Hints + 'static) -> Self {
        let (store, options) = (Arc::clone(&self.0.store), self.0.options.clone());
        let cache = self.0.shared.cache();
        Self(Arc::new(Inner::new(store, options, cache, Some(Arc::new(hints)))))
    }

    /// The store behind the cache.
    #[must_use]
    pub fn store(&self) -> &L {
        &self.0.store
    }
}

impl<L: ChangeFeed + 'static> KeyLookup for CachedLookup<L> {
    fn keyring(&self) -> &Keyring {
        self.0.store.keyring()
    }

    fn peek(&self, digest: &KeyDigest) -> Peek {
        self.0.peek(digest)
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        self.0.find(digest).await
    }

    fn forget_unknown(&self, digest: &KeyDigest) {
        self.0.unknown.remove(digest);
    }

    /// Starts to poll the store's changes. Before the first poll nothing is served from the
    /// cache, and without any each request asks the store.
    fn start(&self) -> Background {
        if self.0.started.swap(true, Ordering::AcqRel) {
            return Background::none();
        }
        let observer: Arc<dyn ChangeObserver> = Arc::clone(&self.0) as _;
        self.0.store.observe(Arc::downgrade(&observer));
        if let Some(hints) = &self.0.hints {
            let hints: Arc<dyn ChangeObserver> = Arc::clone(hints) as _;
            self.0.store.observe(Arc::downgrade(&hints));
        }
        let reader = self.0.store.reader(self.0.instance());
        let (stop, stopped) = oneshot::channel();
        let cache: Weak<_> = Arc::downgrade(&self.0);
        let polling = tokio::spawn(background::run(cache, reader, stopped));
        Background::new(async move {
            let _ = stop.send(());
            let _ = polling.await;
        })
    }
}
