//! A store, and instances that serve from it.

use std::sync::Arc;
use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{
    Authenticator, Background, Denial, IssuedKey, KeyStore, LookupErrorKind, MemoryStore, NewKey,
    RequestFacts, SharedCache,
};
use keyauth_testkit::{FakeClock, Gated};

/// One instance of a service. Its clock stands still until a test moves it, and its cache polls
/// every 10 ms of real time.
pub(crate) struct Instance {
    pub(crate) gate: Gated<MemoryStore>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) auth: Authenticator,
    pub(crate) background: Background,
}

/// What becomes of a request.
pub(crate) type Verdict = Result<Result<(), Denial>, LookupErrorKind>;

pub(crate) const ADMITTED: Verdict = Ok(Ok(()));
pub(crate) const REVOKED: Verdict = Ok(Err(Denial::KeyRevoked));
pub(crate) const UNKNOWN: Verdict = Ok(Err(Denial::InvalidKey));
pub(crate) const UNAVAILABLE: Verdict = Err(LookupErrorKind::Unavailable);

impl Instance {
    /// The process that makes the changes.
    pub(crate) async fn here(store: &MemoryStore) -> Self {
        Self::start(Gated::new(store.clone()), CacheOptions::new()).await
    }

    /// Another process, which hears of changes by its polls.
    pub(crate) async fn elsewhere(store: &MemoryStore) -> Self {
        Self::start(Gated::elsewhere(store.clone()), CacheOptions::new()).await
    }

    pub(crate) async fn start(gate: Gated<MemoryStore>, options: CacheOptions) -> Self {
        let instance = Self::build(gate, options, |cache| cache);
        instance.gate.wait_for_polls(0).await;
        instance
    }

    pub(crate) async fn sharing(store: &MemoryStore, cache: impl SharedCache + 'static) -> Self {
        let gate = Gated::elsewhere(store.clone());
        let instance = Self::build(gate, CacheOptions::new(), |lookup| lookup.with_shared(cache));
        instance.gate.wait_for_polls(0).await;
        instance
    }

    /// An instance that may not have polled yet.
    pub(crate) fn build(
        gate: Gated<MemoryStore>,
        options: CacheOptions,
        finish: impl FnOnce(CachedLookup<Gated<MemoryStore>>) -> CachedLookup<Gated<MemoryStore>>,
    ) -> Self {
        let clock = Arc::new(FakeClock::default());
        let options =
            options.clock(Arc::clone(&clock) as _).poll_interval(Duration::from_millis(10));
        let lookup = finish(CachedLookup::with_options(gate.clone(), options));
        let (auth, background) = Authenticator::new(lookup).start();
        Self { gate, clock, auth, background }
    }

    pub(crate) async fn verify(&self, key: &IssuedKey) -> Verdict {
        verify(&self.auth, key.reveal()).await
    }

    /// A request in a task of its own.
    pub(crate) fn spawn(&self, key: &IssuedKey) -> tokio::task::JoinHandle<Verdict> {
        let (auth, text) = (self.auth.clone(), key.reveal().to_owned());
        tokio::spawn(async move { verify(&auth, &text).await })
    }

    /// Waits until all changes made so far have arrived.
    pub(crate) async fn hear(&self) {
        self.gate.wait_for_polls(1).await;
    }
}

pub(crate) async fn verify(auth: &Authenticator, key: &str) -> Verdict {
    let decision = auth.verify(key, &RequestFacts::new()).await;
    decision.map(|decision| decision.map(drop)).map_err(|error| error.kind())
}

pub(crate) async fn issue(store: &MemoryStore, name: &str) -> IssuedKey {
    store.issue(NewKey::named(name)).await.expect("a valid key")
}

/// Lets other tasks run until they wait for something.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
