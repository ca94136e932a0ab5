//! The future of a response behind a requirement.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;

use crate::ResponseBody;

pin_project! {
    /// The response of [`Require`](crate::Require), on its way.
    #[derive(Debug)]
    pub struct RequireFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Service { #[pin] future: F },
        Refused { response: Option<Response<Bytes>> },
    }
}

impl<F> RequireFuture<F> {
    pub(super) const fn service(future: F) -> Self {
        Self { state: State::Service { future } }
    }

    pub(super) const fn refused(response: Response<Bytes>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, B, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[expect(clippy::panic, reason = "a future must not be polled after it was ready")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match self.project().state.project() {
            StateProjection::Service { future } => {
                ready!(future.poll(cx))?.map(ResponseBody::service)
            }
            StateProjection::Refused { response } => match response.take() {
                Some(response) => response.map(ResponseBody::refusal),
                None => panic!("polled after it was ready"),
            },
        }))
    }
}
