//! A tonic service behind keyauth, and a client for it.
//!
//! `cargo run -p grpc` serves on `PORT` (default 50051) and prints a key;
//! `cargo run -p grpc -- call <key>` calls it.

#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::error::Error;

use keyauth_cache::CachedLookup;
use keyauth_core::{Authenticator, KeyStore, MemoryStore, NewKey};
use keyauth_tower::{KeyAuthLayer, Principal};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{GreetReply, GreetRequest};

#[expect(warnings, reason = "generated")]
mod greeter {
    tonic::include_proto!("greeter");
}

struct PoliteGreeter;

#[tonic::async_trait]
impl Greeter for PoliteGreeter {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        let who = request.extensions().get::<Principal>();
        let who = who.ok_or_else(|| Status::internal("this service stands behind KeyAuthLayer"))?;
        let text = format!("{}, {}", request.get_ref().greeting, who.owner());
        Ok(Response::new(GreetReply { text }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => serve().await,
        (Some("call"), Some(key)) => call(&key).await,
        _ => Err("usage: grpc [call <key>]".into()),
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let store = MemoryStore::new();
    let key = store.issue(NewKey::named("demo").owner("ada")).await?;
    let listener = TcpListener::bind(("127.0.0.1", port()?)).await?;
    println!("listening on {}", listener.local_addr()?);
    println!("try: cargo run -p grpc -- call {}", key.reveal());
    let (auth, background) = Authenticator::new(CachedLookup::new(store)).start();
    Server::builder()
        .layer(KeyAuthLayer::new(auth))
        .add_service(GreeterServer::new(PoliteGreeter))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    background.shutdown().await;
    Ok(())
}

async fn call(key: &str) -> Result<(), Box<dyn Error>> {
    let endpoint = format!("http://127.0.0.1:{}", port()?);
    let channel = Channel::from_shared(endpoint)?.connect().await?;
    let mut request = Request::new(GreetRequest { greeting: "Good morning".to_owned() });
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse()?);
    let reply = GreeterClient::new(channel).greet(request).await?;
    println!("{}", reply.get_ref().text);
    Ok(())
}

fn port() -> Result<u16, Box<dyn Error>> {
    match std::env::var("PORT") {
        Ok(text) => text.parse().map_err(|_| format!("PORT is {text:?}, which is no port").into()),
        Err(_) => Ok(50051),
    }
}
