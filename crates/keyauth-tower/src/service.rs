//! The service that the layer wraps around another.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::decide::Step;
use crate::layer::Settings;
use crate::{ResponseBody, ResponseFuture, observe};

/// Calls the inner service for requests that bring an admitted key, and refuses the others.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
pub struct KeyAuth<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> KeyAuth<S> {
    pub(crate) const fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, ResB> Service<Request<B>> for KeyAuth<S>
where
    S: Service<Request<B>, Response = Response<ResB>> + Clone,
    ResB: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let span = observe::span();
        match span.in_scope(|| self.settings.begin(&mut request, &span)) {
            Step::Pass(place, permit) => {
                let future = self.inner.call(request);
                ResponseFuture::service(future, place, permit, &self.settings)
            }
            Step::Refuse(refusal) => ResponseFuture::refused(&refusal, &self.settings),
            Step::Wait(wait, place) => {
                // Only the polled service is ready, so take that one and keep the clone.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::waiting(wait, span, ready, request, place, &self.settings)
            }
        }
    }
}

/// A single gRPC service can be wrapped and is then still one by the same name.
#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService> tonic::server::NamedService for KeyAuth<S> {
    const NAME: &'static str = S::NAME;
}
