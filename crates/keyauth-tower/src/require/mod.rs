//! What single routes ask for beyond a valid key.

mod endpoint;
mod future;
mod group;
mod resource;
mod scope;

use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use keyauth_core::{Denial, Scope};
use tower_service::Service;

use crate::refusal::{Refusal, Shape, Style};
use crate::{Principal, RequestHead, ResponseBody, observe};
pub use endpoint::RequireEndpoint;
pub use future::RequireFuture;
pub use group::RequireGroup;
pub use resource::RequireResource;
pub use scope::RequireScope;

/// Something that a route asks of whoever calls it.
pub trait Requirement {
    /// Judges a caller.
    ///
    /// # Errors
    ///
    /// The [`Denial`], where the requirement is not met.
    fn check(&self, caller: &Principal, head: &RequestHead<'_>) -> Result<(), Denial>;

    /// The scopes it asks for, to be told in a refusal.
    fn scopes(&self) -> &[Scope] {
        &[]
    }
}

/// In the extensions of requests that a layer let through without a key, on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unauthenticated;

/// Calls the inner service for callers that meet a requirement, and refuses the others.
///
/// Stands behind [`KeyAuth`](crate::KeyAuth), and refuses all that did not come that way.
#[derive(Clone, Debug)]
pub struct Require<S, R> {
    inner: S,
    requirement: R,
    warning: Arc<Once>,
}

impl<S, R> Require<S, R> {
    /// Puts a requirement before a service. Layers like [`RequireScope`] call it.
    pub fn new(inner: S, requirement: R) -> Self {
        Self { inner, requirement, warning: Arc::new(Once::new()) }
    }
}

impl<S, R: Requirement> Require<S, R> {
    fn refusal<B>(&self, request: &Request<B>) -> Option<Refusal> {
        let head = RequestHead::of(request);
        let caller = request.extensions().get::<Principal>();
        let denial = match caller {
            Some(caller) => self.requirement.check(caller, &head).err()?,
            None => {
                if request.extensions().get::<Unauthenticated>().is_none() {
                    self.warning.call_once(observe::no_layer);
                }
                Denial::MissingKey
            }
        };
        observe::unmet(denial, caller.map(|caller| caller.record()), &head);
        Some(Refusal::new(denial, Shape::of(&head)).with_scopes(self.requirement.scopes()))
    }
}

impl<S, R, B, ResB> Service<Request<B>> for Require<S, R>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    R: Requirement,
    ResB: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.refusal(&request) {
            None => RequireFuture::service(self.inner.call(request)),
            Some(refusal) => RequireFuture::refused(refusal.render(&Style::default())),
        }
    }
}

/// A single gRPC service can be wrapped and is then still one by the same name.
#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService, R> tonic::server::NamedService for Require<S, R> {
    const NAME: &'static str = S::NAME;
}

macro_rules! impl_layer {
    ($requirement:ty) => {
        impl<S> tower_layer::Layer<S> for $requirement {
            type Service = crate::Require<S, Self>;

            fn layer(&self, inner: S) -> Self::Service {
                crate::Require::new(inner, self.clone())
            }
        }
    };
}
use impl_layer;
