//! A service on a port, and a client that can send anything.

use std::net::SocketAddr;

use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Answer;
use crate::secrets::Secrets;

/// A running service. Every answer it gives is searched for the secrets of the test's keys,
/// and so is the log when the service ends (C16).
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    secrets: Secrets,
    server: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn serve(app: Router, secrets: Secrets) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { address, secrets, server }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `GET` with headers, each `name: value`.
    pub async fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.call("GET", path, headers).await
    }

    /// `GET /` with a key as bearer.
    pub async fn bearer(&self, key: &str) -> Answer {
        self.get("/", &[&format!("Authorization: Bearer {key}")]).await
    }

    /// Any method, with headers, over HTTP/1.1.
    pub async fn call(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        self.search(call(&self.address.to_string(), method, path, headers).await)
    }

    /// Bytes as they are, over a connection of their own.
    ///
    /// # Panics
    ///
    /// Where the answer is no HTTP, or shows a secret.
    pub async fn send(&self, request: &[u8]) -> Answer {
        self.search(send(&self.address.to_string(), request).await)
    }

    /// A request without a body, over HTTP/2.
    ///
    /// # Panics
    ///
    /// Where there is no answer, or it shows a secret.
    pub async fn http2(&self, mut request: Request<Empty<Bytes>>) -> Answer {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = format!("http://{}{path}", self.address).parse().expect("a URI");
        let connection = TcpStream::connect(self.address).await.expect("a connection");
        let io = TokioIo::new(connection);
        let (mut sender, driver) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        let driver = tokio::spawn(driver);
        let (parts, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("its body").to_bytes();
        driver.abort();
        let headers = parts.headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        self.search(Answer {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn search(&self, answer: Answer) -> Answer {
        self.secrets.search(&answer);
        answer
    }
}

/// Calls any service, with headers each `name: value`, over HTTP/1.1.
pub async fn call(address: &str, method: &str, path: &str, headers: &[&str]) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("Connection: close\r\n\r\n");
    send(address, request.as_bytes()).await
}

async fn send(address: &str, request: &[u8]) -> Answer {
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    // A server that refuses a long head does not read it to its end.
    let _ = connection.write_all(request).await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    Answer::parse(&String::from_utf8_lossy(&answer))
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
        // A test that fails already would end the whole process by failing twice.
        if !std::thread::panicking() {
            self.secrets.search_log();
        }
    }
}
