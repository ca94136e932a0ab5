//! Authentication as a layer.

use std::future::{Ready, ready};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use keyauth_core::{Clock, KeyId, KeyRecord, KeyStatus, SystemClock};
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tower_layer::Layer;
use tower_service::Service;

type KeyDigest = [u8; 32];

/// SHA-256 of the bearer token, a read of a cache, a look at what every key has (status and
/// expiry), and governor.
///
/// Fair in that it does what has to be done and no more: it hashes the key, since a cache of plain
/// keys would be one of secrets; its cache is bounded and forgets, or it would not do in a service;
/// governor counts each key by itself; refusals have a body and the headers that the RFCs ask for.
/// It knows no revocation but the end of an entry's lifetime, no rules but expiry, one limit for
/// all keys instead of each its own, and no sources but one header.
#[derive(Clone, Debug)]
pub struct ByHandLayer(Arc<State>);

#[derive(Debug)]
struct State {
    known: Cache<KeyDigest, Arc<KeyRecord>>,
    unknown: Cache<KeyDigest, ()>,
    limiter: DefaultKeyedRateLimiter<KeyId>,
    clock: SystemClock,
}

impl ByHandLayer {
    /// Knows no key yet.
    #[must_use]
    pub fn new() -> Self {
        let cache = || Cache::builder().max_capacity(2_000_000);
        let quota = Quota::per_minute(NonZeroU32::MAX).allow_burst(NonZeroU32::MAX);
        let state = State {
            known: cache().time_to_live(Duration::from_secs(900)).build(),
            unknown: Cache::builder()
                .max_capacity(10_000)
                .time_to_live(Duration::from_secs(900))
                .build(),
            limiter: RateLimiter::keyed(quota),
            clock: SystemClock::new(),
        };
        Self(Arc::new(state))
    }

    /// Remembers a key's record, or that there is none, as when a request brought it for the first time.
    pub fn remember(&self, key: &str, record: Option<KeyRecord>) {
        let digest: KeyDigest = Sha256::digest(key).into();
        match record {
            Some(record) => self.0.known.insert(digest, Arc::new(record)),
            None => self.0.unknown.insert(digest, ()),
        }
    }
}

impl Default for ByHandLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn decide<B>(&self, request: &Request<B>) -> Result<Arc<KeyRecord>, StatusCode> {
        let token = bearer(request).ok_or(StatusCode::UNAUTHORIZED)?;
        let digest: KeyDigest = Sha256::digest(token).into();
        let Some(record) = self.known.get(&digest) else {
            return match self.unknown.get(&digest) {
                Some(()) => Err(StatusCode::UNAUTHORIZED),
                // Here it would ask the database.
                None => Err(StatusCode::SERVICE_UNAVAILABLE),
            };
        };
        let lives = record.key.expires_at.is_none_or(|end| self.clock.now() < end);
        if record.key.status != KeyStatus::Active || !lives {
            return Err(StatusCode::UNAUTHORIZED);
        }
        match self.limiter.check_key(&record.key.id) {
            Ok(()) => Ok(record),
            Err(_) => Err(StatusCode::TOO_MANY_REQUESTS),
        }
    }
}

fn bearer<B>(request: &Request<B>) -> Option<&[u8]> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

fn refusal<B: From<Bytes>>(status: StatusCode) -> Response<B> {
    let body = match status {
        StatusCode::UNAUTHORIZED => {
            r#"{"status":401,"title":"Unauthorized","detail":"The API key is not valid."}"#
        }
        StatusCode::TOO_MANY_REQUESTS => r#"{"status":429,"title":"Too Many Requests"}"#,
        _ => r#"{"status":503,"title":"Service Unavailable"}"#,
    };
    let mut response = Response::new(B::from(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"api\""));
        }
        StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

impl<S> Layer<S> for ByHandLayer {
    type Service = ByHand<S>;

    fn layer(&self, inner: S) -> ByHand<S> {
        ByHand { inner, state: Arc::clone(&self.0) }
    }
}

/// What [`ByHandLayer`] wraps around a service.
#[derive(Clone, Debug)]
pub struct ByHand<S> {
    inner: S,
    state: Arc<State>,
}

impl<S, B, ResB> Service<Request<B>> for ByHand<S>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    ResB: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.state.decide(&request) {
            Ok(record) => {
                request.extensions_mut().insert(record);
                Either::Left(self.inner.call(request))
            }
            Err(status) => Either::Right(ready(Ok(refusal(status)))),
        }
    }
}
