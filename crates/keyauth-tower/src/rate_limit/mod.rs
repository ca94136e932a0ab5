//! Limits for services without keys.

mod future;

use std::fmt;
use std::mem;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use keyauth_core::{
    AppliedLimit, Counted, Limit, LimitDecision, Limited, LimitedCall, LimitedSubject, Limiter,
    LookupError, TryAcquire,
};
use tower_layer::Layer;
use tower_service::Service;

use crate::address::network;
use crate::limits::{LimitHeaders, Telling, tell};
use crate::permit::Permit;
use crate::refusal::{Refusal, Shape};
use crate::{ClientAddress, RequestHead, ResponseBody, observe};
pub use future::RateLimitFuture;

/// Whoever a limit is for whose address is unknown.
const UNKNOWN: &str = "unknown";
/// Names that are longer count as one, so that nobody can fill the memory with his.
const LONGEST_NAME: usize = 256;
const TOO_LONG: &str = "too long";

/// Lets through to a service as many requests as limits allow each client, whoever it is: for
/// services without keys, and for what comes before one is looked at.
///
/// Clients are told apart by address, of IPv6 by the network `/64`, or by whatever a closure says.
/// Keys have limits of their own, which [`KeyAuthLayer`](crate::KeyAuthLayer) enforces.
///
/// ```
/// use keyauth_core::Limit;
/// use keyauth_ratelimit::LocalLimiter;
/// use keyauth_tower::RateLimitLayer;
///
/// let layer = RateLimitLayer::new(LocalLimiter::new(), [Limit::per_minute(60)]);
/// # let _ = layer;
/// ```
pub struct RateLimitLayer<L> {
    settings: Arc<Settings<L>>,
}

struct Settings<L> {
    limiter: Arc<L>,
    limits: Arc<[AppliedLimit]>,
    client: Client,
    cost: Option<Arc<Cost>>,
    telling: Telling,
    http_only: bool,
    no_address: Arc<Once>,
}

/// How clients are told apart.
#[derive(Clone)]
enum Client {
    Address(ClientAddress),
    Named(Arc<Name>),
}

type Name = dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync;
type Cost = dyn Fn(&RequestHead<'_>) -> u64 + Send + Sync;

impl<L: Limiter> RateLimitLayer<L> {
    /// Limits each client by its address, which is the peer's. Behind a proxy that is the proxy's,
    /// for all of them: say so [there](Self::by_address).
    ///
    /// Layers that share a limiter count one client together by limits of one name; give them
    /// other names to have them count apart. A limiter of a fleet must be
    /// [started](Limiter::start), by an authenticator or by itself.
    ///
    /// # Panics
    ///
    /// Where the limits are none, as two of one name or a window of no time, with what is wrong.
    #[expect(clippy::panic, reason = "documented: a mistake in the program")]
    pub fn new(limiter: L, limits: impl IntoIterator<Item = Limit>) -> Self {
        let limits: Vec<_> = limits.into_iter().collect();
        if let Err(error) = Limit::check(&limits) {
            panic!("the limits of a `RateLimitLayer` are not valid: {error}");
        }
        let limits = limits.into_iter().map(|limit| AppliedLimit { limit, counted: Counted::Key });
        Self {
            settings: Arc::new(Settings {
                limiter: Arc::new(limiter),
                limits: limits.collect(),
                client: Client::Address(ClientAddress::peer()),
                cost: None,
                telling: Telling::default(),
                http_only: false,
                no_address: Arc::new(Once::new()),
            }),
        }
    }

    /// Finds the client's address otherwise than from the peer: behind proxies, say. Those whose
    /// address is unknown count together.
    #[must_use]
    pub fn by_address(self, address: ClientAddress) -> Self {
        self.change(|settings| settings.client = Client::Address(address))
    }

    /// Tells clients apart by what a closure makes of the request; `None` is not limited. All
    /// whose names are longer than 256 bytes count as one.
    #[must_use]
    pub fn by<F>(self, name: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    {
        self.change(|settings| settings.client = Client::Named(Arc::new(name)))
    }

    /// Says what a request costs, for limits that [count that](Limit::of_cost); one otherwise.
    #[must_use]
    pub fn with_cost<F>(self, cost: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> u64 + Send + Sync + 'static,
    {
        self.change(|settings| settings.cost = Some(Arc::new(cost)))
    }

    /// Tells how limits stand in every response; refusals tell it in any case.
    #[must_use]
    pub fn tell_limits(self) -> Self {
        self.change(|settings| settings.telling.on_success = true)
    }

    /// Tells the tightest limit in `X-RateLimit-*` too, wherever limits are told.
    #[must_use]
    pub fn with_x_ratelimit(self) -> Self {
        self.change(|settings| settings.telling.x_headers = true)
    }

    /// Never refuses in the gRPC shape.
    #[must_use]
    pub fn http_only(self) -> Self {
        self.change(|settings| settings.http_only = true)
    }

    fn change(mut self, change: impl FnOnce(&mut Settings<L>)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<L> Settings<L> {
    /// Whoever sends a request, as limits see it.
    fn limited(&self, head: &RequestHead<'_>) -> Option<Limited> {
        let name = match &self.client {
            Client::Named(name) => {
                let name = name(head)?;
                if name.len() > LONGEST_NAME { TOO_LONG.to_owned() } else { name }
            }
            Client::Address(address) => match address.find(head) {
                Some(address) => network(address),
                None => {
                    self.no_address.call_once(observe::no_limited_address);
                    UNKNOWN.to_owned()
                }
            },
        };
        Some(Limited::Subject(LimitedSubject::Other(name.into()), Arc::clone(&self.limits)))
    }

    /// What becomes of a request.
    fn decided(
        &self,
        decision: Result<LimitDecision, LookupError>,
        shape: Shape,
    ) -> Result<Permit, Refusal> {
        let refusal = match decision {
            Ok(LimitDecision::Within(within)) => {
                let told = match within.states.as_slice() {
                    [] => LimitHeaders::new(),
                    states => tell(&self.limits, states, self.telling).0,
                };
                return Ok(Permit { slots: within.slots, told, charge: None });
            }
            Ok(LimitDecision::Exceeded(exceeded)) => {
                observe::limited(exceeded.denial);
                let told = tell(&self.limits, &exceeded.states, self.telling);
                Refusal::new(exceeded.denial, shape).with_limits(exceeded.retry_after, told)
            }
            Err(error) => {
                observe::unlimited(&error);
                Refusal::new(error.kind(), shape)
            }
        };
        Err(refusal)
    }
}

/// Calls the inner service for requests that are within limits, and refuses the others.
pub struct RateLimit<S, L> {
    inner: S,
    settings: Arc<Settings<L>>,
}

impl<S, L, B, ResB> Service<Request<B>> for RateLimit<S, L>
where
    S: Service<Request<B>, Response = Response<ResB>> + Clone,
    L: Limiter + 'static,
    ResB: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = RateLimitFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let settings = &self.settings;
        let head = RequestHead::of(&request);
        let shape = if settings.http_only { Shape::Http } else { Shape::of(&head) };
        let Some(limited) = settings.limited(&head) else {
            return RateLimitFuture::service(self.inner.call(request), Permit::default());
        };
        let cost = settings.cost.as_ref().map_or(1, |cost| cost(&head));
        let call = LimitedCall { limited: &limited, cost, report: settings.telling.on_success };
        match settings.limiter.try_acquire(&call) {
            TryAcquire::Decided(decision) => match settings.decided(Ok(decision), shape) {
                Ok(permit) => {
                    permit.tell_handler(&mut request);
                    RateLimitFuture::service(self.inner.call(request), permit)
                }
                Err(refusal) => RateLimitFuture::refused(&refusal),
            },
            _ => {
                // Only the polled service is ready, so take that one and keep the clone.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                let (settings, call) = (Arc::clone(settings), call.to_owned());
                let limiter = Arc::clone(&settings.limiter);
                let deciding = async move {
                    let decision = limiter.acquire(call).await;
                    settings.decided(decision, shape)
                };
                RateLimitFuture::waiting(Box::pin(deciding), ready, request)
            }
        }
    }
}

/// A single gRPC service can be wrapped and is then still one by the same name.
#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService, L> tonic::server::NamedService for RateLimit<S, L> {
    const NAME: &'static str = S::NAME;
}

impl<S, L> Layer<S> for RateLimitLayer<L> {
    type Service = RateLimit<S, L>;

    fn layer(&self, inner: S) -> RateLimit<S, L> {
        RateLimit { inner, settings: Arc::clone(&self.settings) }
    }
}

impl<L> Clone for Settings<L> {
    fn clone(&self) -> Self {
        Self {
            limiter: Arc::clone(&self.limiter),
            limits: Arc::clone(&self.limits),
            client: self.client.clone(),
            cost: self.cost.clone(),
            telling: self.telling,
            http_only: self.http_only,
            no_address: Arc::clone(&self.no_address),
        }
    }
}

impl<L> Clone for RateLimitLayer<L> {
    fn clone(&self) -> Self {
        Self { settings: Arc::clone(&self.settings) }
    }
}

impl<S: Clone, L> Clone for RateLimit<S, L> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), settings: Arc::clone(&self.settings) }
    }
}

impl<L: fmt::Debug> fmt::Debug for RateLimitLayer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("limiter", &self.settings.limiter)
            .field("limits", &self.settings.limits)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, L> fmt::Debug for RateLimit<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}
