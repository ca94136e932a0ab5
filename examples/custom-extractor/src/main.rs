//! A key source of one's own: a cookie that the service has signed.
//!
//! Whoever calls `/login` with a key gets a cookie and needs the key no more. A cookie that
//! somebody else wrote, from a sibling domain say, does not count, whatever key is in it.

#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::borrow::Cow;
use std::error::Error;

use axum::Router;
use axum::extract::State;
use axum::http::header::{COOKIE, HeaderName, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::{get, post};
use cookie::{Cookie, CookieJar, Key, SameSite};
use keyauth_cache::CachedLookup;
use keyauth_core::{Authenticator, KeyStore, MemoryStore, NewKey};
use keyauth_tower::{Credential, KeyAuthLayer, KeySource, KeySources, Principal, RequestHead};
use tokio::net::TcpListener;

const SESSION: &str = "session";

/// Finds a key in a cookie, if the signature is ours.
struct SignedCookie(Key);

impl KeySource for SignedCookie {
    fn find<'r>(&self, head: &RequestHead<'r>) -> Credential<'r> {
        let lines = head.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let cookies = lines.flat_map(Cookie::split_parse).filter_map(Result::ok);
        let mut sessions = cookies.filter(|cookie| cookie.name() == SESSION);
        let Some(session) = sessions.next() else { return Credential::Absent };
        if sessions.next().is_some() {
            return Credential::Repeated;
        }
        match CookieJar::new().signed(&self.0).verify(session.into_owned()) {
            Some(cookie) => Credential::Found(Cow::Owned(cookie.value().as_bytes().to_vec())),
            None => Credential::Unreadable,
        }
    }

    fn header(&self) -> Option<&HeaderName> {
        Some(&COOKIE)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = MemoryStore::new();
    let key = store.issue(NewKey::named("demo").owner("ada")).await?;
    let signing_key = Key::generate();
    let sources = KeySources::new().bearer().source(SignedCookie(signing_key.clone()));
    let (auth, background) = Authenticator::new(CachedLookup::new(store)).start();
    let app = Router::new()
        .route("/login", post(login))
        .route("/whoami", get(whoami))
        .with_state(signing_key)
        .layer(KeyAuthLayer::new(auth).with_sources(sources));

    let listener = TcpListener::bind(("127.0.0.1", port()?)).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\n\ntry:\n");
    println!(
        "    curl -i -X POST http://{address}/login -H 'Authorization: Bearer {}'",
        key.reveal()
    );
    println!("    curl -i http://{address}/whoami -H 'Cookie: <what it set>'");
    axum::serve(listener, app).await?;
    background.shutdown().await;
    Ok(())
}

fn port() -> Result<u16, Box<dyn Error>> {
    match std::env::var("PORT") {
        Ok(text) => text.parse().map_err(|_| format!("PORT is {text:?}, which is no port").into()),
        Err(_) => Ok(3000),
    }
}

/// Turns the key that opened this door into a cookie.
async fn login(
    State(signing_key): State<Key>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, StatusCode> {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
    let key = bearer.and_then(|value| value.split_once(' ')).ok_or(StatusCode::BAD_REQUEST)?.1;
    let mut jar = CookieJar::new();
    jar.signed_mut(&signing_key).add(
        Cookie::build((SESSION, key.trim().to_owned()))
            .path("/")
            .http_only(true)
            .secure(true)
            .same_site(SameSite::Strict),
    );
    let session = jar.get(SESSION).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?.to_string();
    Ok(AppendHeaders([(SET_COOKIE, session)]))
}

async fn whoami(who: Principal) -> String {
    who.owner().to_string()
}
