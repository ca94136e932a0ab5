//! The future of a response.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use keyauth_core::LookupFuture;
use pin_project_lite::pin_project;
use tower_service::Service;
use tracing::Span;

use crate::decide::Place;
use crate::finish::Finish;
use crate::layer::Settings;
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
        Lookup { lookup: LookupFuture, waiting: Option<Waiting<S, B>> },
        Refused { response: Option<Response<Bytes>> },
    }
}

/// What goes on when the record has come.
struct Waiting<S, B> {
    service: S,
    request: Request<B>,
    span: Span,
    settings: Arc<Settings>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn service(future: S::Future, place: Place, settings: &Arc<Settings>) -> Self {
        Self { state: State::Service { future }, finish: Finish::new(place, settings) }
    }

    pub(crate) fn refused(refusal: &Refusal, settings: &Arc<Settings>) -> Self {
        let finish = Finish::new(Place::KnownToCaches, settings);
        Self { state: State::refused(refusal, settings), finish }
    }

    pub(crate) fn lookup(
        lookup: LookupFuture,
        span: Span,
        service: S,
        request: Request<B>,
        place: Place,
        settings: &Arc<Settings>,
    ) -> Self {
        let finish = Finish::new(place, settings);
        let waiting = Waiting { service, request, span, settings: Arc::clone(settings) };
        Self { state: State::Lookup { lookup, waiting: Some(waiting) }, finish }
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
                StateProjection::Lookup { lookup, waiting } => {
                    let Some(mut now) = waiting.take() else { panic!("polled after it was ready") };
                    let Waiting { request, span, settings, .. } = &mut now;
                    let decision = span.in_scope(|| {
                        let answer = ready!(lookup.as_mut().poll(cx));
                        Poll::Ready(settings.conclude(request, answer, span))
                    });
                    let Poll::Ready(decision) = decision else {
                        *waiting = Some(now);
                        return Poll::Pending;
                    };
                    match decision {
                        Ok(()) => State::Service { future: now.service.call(now.request) },
                        Err(refusal) => State::refused(&refusal, &now.settings),
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
