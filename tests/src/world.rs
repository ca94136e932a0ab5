//! A store, a clock, and a service behind the layer.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use keyauth_core::{Authenticator, IssuedKey, Issuer, KeyStore, Keyring, MemoryStore, NewKey};
use keyauth_testkit::{FakeClock, Gated};
use keyauth_tower::{KeyAuthLayer, Principal};

use crate::secrets::Secrets;
use crate::{Site, log};

/// Everything behind the services of one test.
#[derive(Debug)]
pub struct World {
    /// The keys.
    pub store: MemoryStore,
    /// The time, for store and services alike.
    pub clock: Arc<FakeClock>,
    /// What lookups go through, to be counted and held.
    pub lookups: Gated<MemoryStore>,
    secrets: Secrets,
}

impl Default for World {
    fn default() -> Self {
        Self::with_keyring(Keyring::new())
    }
}

impl World {
    /// A world whose keys are made by a keyring.
    #[must_use]
    pub fn with_keyring(keyring: Keyring) -> Self {
        log::keep();
        let clock = Arc::new(FakeClock::default());
        let issuer = Issuer::new().with_keyring(keyring).with_clock(Arc::clone(&clock) as _);
        let store = MemoryStore::with_issuer(issuer);
        let lookups = Gated::new(store.clone());
        Self { store, clock, lookups, secrets: Secrets::default() }
    }

    /// An authenticator over the world's store and clock.
    #[must_use]
    pub fn authenticator(&self) -> Authenticator {
        Authenticator::new(self.lookups.clone()).with_clock(Arc::clone(&self.clock) as _)
    }

    /// A layer with that authenticator.
    #[must_use]
    pub fn layer(&self) -> KeyAuthLayer {
        KeyAuthLayer::new(self.authenticator())
    }

    /// Issues a key, whose secret no answer and no log may show from now on.
    ///
    /// # Panics
    ///
    /// Where the key is not valid.
    pub async fn issue(&self, new: NewKey) -> IssuedKey {
        let key = self.store.issue(new).await.expect("a valid key");
        self.guard(key.reveal());
        key
    }

    /// Lets no answer and no log show this from now on.
    pub fn guard(&self, secret: &str) {
        self.secrets.guard(secret);
    }

    /// Asserts that neither an answer, in any form, nor the log shows a guarded secret.
    ///
    /// # Panics
    ///
    /// Where one does.
    pub fn search(&self, answer: &impl std::fmt::Debug) {
        self.secrets.search(answer);
        self.secrets.search_log();
    }

    /// Whether keyauth has logged a text in this process.
    #[must_use]
    pub fn has_logged(&self, text: &str) -> bool {
        log::text().contains(text)
    }

    /// The first line that keyauth has logged in this process and that was broken by what is in
    /// it, if there is one.
    #[must_use]
    pub fn broken_line(&self) -> Option<String> {
        log::broken_line()
    }

    /// Serves an app on a free port of the loopback until the test ends.
    pub async fn serve(&self, app: Router) -> Site {
        Site::serve(app, self.secrets.clone()).await
    }

    /// Serves [`app`] behind the layer.
    pub async fn serve_behind(&self, layer: KeyAuthLayer) -> Site {
        self.serve(app().layer(layer)).await
    }
}

/// A service that tells who called, on every path and by every method.
pub fn app() -> Router {
    Router::new().fallback(any(owner))
}

async fn owner(who: Option<Principal>) -> String {
    who.map_or_else(|| "nobody".to_owned(), |who| who.owner().to_string())
}
