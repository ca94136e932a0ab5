//! Keys that are issued and cached, and requests that bring them.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{Authenticator, KeyRecord, Limit, NewKey, RequestFacts};
use keyauth_ratelimit::LocalLimiter;
use keyauth_tower::PeerAddress;

use crate::given::Given;

/// Nobody uses as much up.
const PLENTY: u64 = 4_000_000_000;
/// Where all requests come from.
const CLIENT: [u8; 4] = [10, 0, 3, 231];

/// What the service behind the layer does: nothing.
///
/// # Errors
///
/// None.
pub async fn inner<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(black_box(request));
    Ok(Response::new(Full::default()))
}

/// Keys that an authenticator has cached.
#[derive(Debug)]
pub struct Cached {
    /// With a local limiter.
    pub auth: Authenticator,
    /// Their texts, in an order that memory cannot guess.
    pub keys: Vec<String>,
}

impl Cached {
    /// Issues so many keys, and has all of them cached.
    ///
    /// # Panics
    ///
    /// Where one is not admitted.
    pub async fn new(count: usize, new: impl Fn(usize) -> NewKey) -> Self {
        let (store, mut keys) = Given::new(count, new);
        shuffle(&mut keys);
        let capacity = u64::try_from(count * 2).expect("a count");
        // Nothing is to be forgotten meanwhile.
        let options = CacheOptions::new()
            .capacity(capacity)
            .lifetime(Duration::from_secs(3_600))
            .unknown_lifetime(Duration::from_secs(60));
        let lookup = CachedLookup::with_options(store, options);
        let auth = Authenticator::new(lookup).with_limiter(LocalLimiter::new());
        // It polls for as long as the authenticator is there.
        let (auth, _) = auth.start();
        // Before the first poll nothing is served from the cache.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let cached = Self { auth, keys };
        for key in &cached.keys {
            cached.record(key).await;
        }
        cached
    }

    /// A copy of what the authenticator has cached, so that reading the one does not fetch the other.
    ///
    /// # Panics
    ///
    /// Where the key is not admitted.
    pub async fn record(&self, key: &str) -> KeyRecord {
        let facts = RequestFacts::new().with_address(CLIENT.into());
        let verified = self.auth.verify(key, &facts).await.expect("an answer");
        // On one thread, whoever polls for changes has a turn so.
        tokio::task::yield_now().await;
        verified.expect("admitted").record().clone()
    }
}

/// A key with one limit, and what else most have.
#[must_use]
pub fn typical(number: usize) -> NewKey {
    NewKey::named(format!("key {number}"))
        .scope("reports:read")
        .scope("reports:write")
        .limit(Limit::per_minute(PLENTY))
}

/// The same with so many limits.
#[must_use]
pub fn with_limits(number: usize, limits: usize) -> NewKey {
    (1..limits).fold(typical(number), |new, limit| {
        new.limit(Limit::per_minute(PLENTY).named(format!("limit-{limit}")))
    })
}

/// The same with sixteen limits and a thousand networks that it may be used from.
#[must_use]
pub fn ruled(number: usize) -> NewKey {
    let mut new = with_limits(number, 16);
    for network in 0..1_000 {
        // Every other address, so that no two merge.
        let address = network * 2 + 1;
        new = new.allow_address(format!("10.0.{}.{}", address / 256, address % 256));
    }
    new
}

/// Requests with these keys, in an order of their own, from an address that a server would have put in.
pub fn requests(keys: &[String]) -> impl FnMut() -> Request<()> + use<> {
    let bearer = |key: &String| format!("Bearer {key}").parse().expect("a value");
    let mut values: Vec<HeaderValue> = keys.iter().map(bearer).collect();
    // Another order than that in which they were cached, in which they lie in memory.
    shuffle(&mut values);
    let mut next = 0;
    move || {
        let mut request = Request::new(());
        // Bytes of its own, as a server has read them.
        let value = HeaderValue::from_bytes(values[next].as_bytes()).expect("a value");
        request.headers_mut().insert("authorization", value);
        request.extensions_mut().insert(PeerAddress((CLIENT, 1).into()));
        next = (next + 1) % values.len();
        request
    }
}

/// An order that nobody can guess and that is the same each time.
pub fn shuffle<T>(things: &mut [T]) {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for at in (1..things.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).expect("31 bits") % (at + 1);
        things.swap(at, other);
    }
}
