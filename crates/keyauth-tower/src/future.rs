//! The future of a response.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;
use tracing::Span;

use crate::decide::{Cleared, Place, Wait};
use crate::finish::Finish;
use crate::layer::Settings;
use crate::permit::Permit;
use crate::{Refusal, ResponseBody};

pin_project! {
    /// The response of [`KeyAuth`](crate::KeyAuth), on its way.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
        finish: Finish,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Service { #[pin] future: S::Future },
        Waiting { waiting: Option<Waiting<S, B>> },
        Refused { response: Option<Response<Bytes>> },
    }
}

/// A request that waits, and what goes on then.
struct Waiting<S, B> {
    wait: Wait,
    service: S,
    request: Request<B>,
    span: Span,
    settings: Arc<Settings>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn service(
        future: S::Future,
        place: Place,
        permit: Permit,
        settings: &Arc<Settings>,
    ) -> Self {
        let finish = Finish::new(place, settings).with_permit(permit);
        Self { state: State::Service { future }, finish }
    }

    pub(crate) fn refused(refusal: &Refusal, settings: &Arc<Settings>) -> Self {
        let finish = Finish::new(Place::KnownToCaches, settings);
        Self { state: State::refused(refusal, settings), finish }
    }

    pub(crate) fn waiting(
        wait: Wait,
        span: Span,
        service: S,
        request: Request<B>,
        place: Place,
        settings: &Arc<Settings>,
    ) -> Self {
        let finish = Finish::new(place, settings);
        let waiting = Waiting { wait, service, request, span, settings: Arc::clone(settings) };
        Self { state: State::Waiting { waiting: Some(waiting) }, finish }
    }
}

impl<S, B> Waiting<S, B> {
    /// Waits for one thing after the other.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit, Refusal>> {
        let Self { wait, request, span, settings, .. } = self;
        span.in_scope(|| {
            loop {
                let cleared = match wait {
                    Wait::Record(record) => {
                        settings.conclude(request, ready!(record.as_mut().poll(cx)), span)
                    }
                    Wait::Limits(decision, principal) => {
                        let decision = ready!(decision.as_mut().poll(cx));
                        settings.limited(request, principal.clone(), decision, span)
                    }
                    Wait::Budgets(decision, principal, permit) => {
                        let decision = ready!(decision.as_mut().poll(cx));
                        let (principal, permit) = (principal.clone(), std::mem::take(permit));
                        let reserved =
                            settings.reserved(request, principal, permit, decision, span);
                        reserved.map(Cleared::Pass)
                    }
                };
                match cleared {
                    Ok(Cleared::Wait(next)) => *wait = next,
                    Ok(Cleared::Pass(permit)) => return Poll::Ready(Ok(permit)),
                    Err(refusal) => return Poll::Ready(Err(refusal)),
                }
            }
        })
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<B>>,
{
    fn refused(refusal: &Refusal, settings: &Settings) -> Self {
        Self::Refused { response: Some(refusal.render(&settings.style)) }
    }
}

impl<S, B, ResB> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResB>>,
{
    type Output = Result<Response<ResponseBody<ResB>>, S::Error>;

    #[expect(clippy::panic, reason = "a future must not be polled after it was ready")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Service { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(this.finish.service(response)));
                }
                StateProjection::Refused { response } => match response.take() {
                    Some(response) => {
                        return Poll::Ready(Ok(response.map(ResponseBody::refusal)));
                    }
                    None => panic!("polled after it was ready"),
                },
                StateProjection::Waiting { waiting } => {
                    let Some(mut now) = waiting.take() else { panic!("polled after it was ready") };
                    match now.poll(cx) {
                        Poll::Pending => {
                            *waiting = Some(now);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(permit)) => {
                            this.finish.permit(permit);
                            State::Service { future: now.service.call(now.request) }
                        }
                        Poll::Ready(Err(refusal)) => State::refused(&refusal, &now.settings),
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
