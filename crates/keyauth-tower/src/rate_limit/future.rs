//! The future of a response behind limits.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::permit::Permit;
use crate::refusal::{Refusal, Style};
use crate::{ResponseBody, finish};

type Deciding = Pin<Box<dyn Future<Output = Result<Permit, Refusal>> + Send>>;

pin_project! {
    /// The response of [`RateLimit`](crate::RateLimit), on its way.
    pub struct RateLimitFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Service { #[pin] future: S::Future, permit: Permit },
        Waiting { deciding: Deciding, service: Option<(S, Request<B>)> },
        Refused { response: Option<Response<Bytes>> },
    }
}

impl<S, B> RateLimitFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) const fn service(future: S::Future, permit: Permit) -> Self {
        Self { state: State::Service { future, permit } }
    }

    pub(super) fn refused(refusal: &Refusal) -> Self {
        Self { state: State::refused(refusal) }
    }

    pub(super) const fn waiting(deciding: Deciding, service: S, request: Request<B>) -> Self {
        Self { state: State::Waiting { deciding, service: Some((service, request)) } }
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<B>>,
{
    fn refused(refusal: &Refusal) -> Self {
        Self::Refused { response: Some(refusal.render(&Style::default())) }
    }
}

impl<S, B, ResB> Future for RateLimitFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResB>>,
{
    type Output = Result<Response<ResponseBody<ResB>>, S::Error>;

    #[expect(clippy::panic, reason = "a future must not be polled after it was ready")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Service { future, permit } => {
                    let response = ready!(future.poll(cx))?;
                    let (mut parts, body) = response.into_parts();
                    let held = finish::take_along(std::mem::take(permit), &mut parts);
                    let response = Response::from_parts(parts, ResponseBody::holding(body, held));
                    return Poll::Ready(Ok(response));
                }
                StateProjection::Waiting { deciding, service } => {
                    match (ready!(deciding.as_mut().poll(cx)), service.take()) {
                        (Ok(permit), Some((mut service, mut request))) => {
                            permit.tell_handler(&mut request);
                            State::Service { future: service.call(request), permit }
                        }
                        (Err(refusal), _) => State::refused(&refusal),
                        (Ok(_), None) => panic!("polled after it was ready"),
                    }
                }
                StateProjection::Refused { response } => match response.take() {
                    Some(response) => {
                        return Poll::Ready(Ok(response.map(ResponseBody::refusal)));
                    }
                    None => panic!("polled after it was ready"),
                },
            };
            this.state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for RateLimitFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitFuture").finish_non_exhaustive()
    }
}
