//! The model: a fake that says as many words as it is asked for, a server-sent event each.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Interval, interval};

use crate::BoxError;

/// How long it thinks about each word.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Deserialize)]
struct Asked {
    words: u64,
}

/// Starts it, on a free port of the loopback, and says which.
pub(crate) async fn start() -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/generate", post(generate));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn generate(Query(asked): Query<Asked>) -> impl IntoResponse {
    let words = Words { left: asked.words, pace: interval(PAUSE) };
    ([("content-type", "text/event-stream")], Body::new(words))
}

/// Asks it for so many words.
pub(crate) async fn ask(model: SocketAddr, words: u64) -> Result<Response<Incoming>, BoxError> {
    let stream = TokioIo::new(TcpStream::connect(model).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    // It ends with the answer, or when nobody takes that any more.
    tokio::spawn(connection);
    let request = Request::post(format!("/generate?words={words}")).header("host", "model");
    Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?)
}

struct Words {
    left: u64,
    pace: Interval,
}

impl http_body::Body for Words {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.pace.poll_tick(cx).map(|_| {
            self.left -= 1;
            let word = Bytes::from_static(b"data: {\"word\":\"indeed\"}\n\n");
            Some(Ok(Frame::data(word)))
        })
    }
}
