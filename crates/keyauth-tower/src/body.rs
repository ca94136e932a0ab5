//! The body of a response: the service's, or that of a refusal.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use keyauth_core::{ChargeHold, Slots};
use pin_project_lite::pin_project;

pin_project! {
    /// The response body of [`KeyAuth`](crate::KeyAuth), [`Require`](crate::Require) and
    /// [`RateLimit`](crate::RateLimit).
    ///
    /// Forwards everything of the service's body, its size and its end included.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Service { #[pin] body: B, held: Held },
        Refusal { body: Bytes },
    }
}

/// What is given back, and booked, when a call has ended.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "what they hold ends with them")]
pub(crate) struct Held {
    /// Its places among those at once.
    pub(crate) slots: Option<Slots>,
    /// What it is charged.
    pub(crate) charge: Option<ChargeHold>,
}

impl<B> ResponseBody<B> {
    pub(crate) fn service(body: B) -> Self {
        Self::holding(body, Held::default())
    }

    /// The service's body, whose call is under way until it ends.
    pub(crate) const fn holding(body: B, held: Held) -> Self {
        Self { kind: Kind::Service { body, held } }
    }

    pub(crate) const fn refusal(body: Bytes) -> Self {
        Self { kind: Kind::Refusal { body } }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Service { mut body, held } => {
                let frame = body.as_mut().poll_frame(cx);
                let goes_on = match &frame {
                    Poll::Pending => true,
                    // Whoever sends it may drop it then, or keep it for the next request.
                    Poll::Ready(Some(Ok(frame))) => !frame.is_trailers() && !body.is_end_stream(),
                    Poll::Ready(_) => false,
                };
                if !goes_on {
                    *held = Held::default();
                }
                frame
            }
            KindProjection::Refusal { body } if body.is_empty() => Poll::Ready(None),
            KindProjection::Refusal { body } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(body)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Service { body, .. } => body.is_end_stream(),
            Kind::Refusal { body } => body.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Service { body, .. } => body.size_hint(),
            Kind::Refusal { body } => {
                SizeHint::with_exact(u64::try_from(body.len()).unwrap_or(u64::MAX))
            }
        }
    }
}
