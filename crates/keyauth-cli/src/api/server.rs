//! A server, over HTTP.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use zeroize::Zeroizing;

use crate::told::Failure;

/// How long it may take to connect.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long nothing may come: longer than a revocation is waited for.
const SILENCE: Duration = Duration::from_secs(130);

/// Where a server is, and the key to ask it with.
pub(crate) struct Place {
    url: Url,
    bearer: HeaderValue,
}

impl Place {
    /// Refuses what would show the key to others on the way.
    pub(crate) fn read(
        url: &str,
        may_be_plain: bool,
        key: impl FnOnce() -> Result<Zeroizing<String>, Failure>,
    ) -> Result<Self, Failure> {
        let wrong =
            || Failure::usage("server: must be http://HOST:PORT or https://HOST, and no more");
        let url = Url::parse(url).map_err(|_| wrong())?;
        let is_bare = url.username().is_empty() && url.password().is_none();
        let is_root = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !(is_bare && is_root && matches!(url.scheme(), "http" | "https")) {
            return Err(wrong());
        }
        if url.scheme() == "http" && !is_loopback(&url) && !may_be_plain {
            return Err(Failure::usage(
                "server: http:// would send the key to another machine in the clear; use https://, \
                 or --allow-http where the way there is trusted",
            ));
        }
        let bearer = Zeroizing::new(format!("Bearer {}", &*key()?));
        let bearer = HeaderValue::from_str(&bearer);
        let mut bearer = bearer.map_err(|_| Failure::usage("the key to ask with is no key"))?;
        bearer.set_sensitive(true);
        Ok(Self { url, bearer })
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str().unwrap_or_default() {
        "localhost" => true,
        host => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
    }
}

pub(super) struct Server {
    client: Client,
    place: Place,
}

impl Server {
    pub(super) fn new(place: Place) -> Result<Self, Failure> {
        let client = Client::builder()
            .user_agent(concat!("keyauth/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECTING)
            .read_timeout(SILENCE)
            // The key is for this server and no other.
            .redirect(Policy::none());
        // In the clear a proxy would read the key: only what goes through one is encrypted.
        let client = if place.url.scheme() == "https" { client } else { client.no_proxy() };
        let client = client.build();
        let client = client.map_err(|error| Failure::other("nothing can be sent", &error))?;
        Ok(Self { client, place })
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| super::call::cut_off(&error))?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = self.place.url.join(path);
        let url = url.map_err(|error| Failure::other("nothing can be sent there", &error))?;
        let sent = self.client.request(parts.method, url).headers(parts.headers);
        let sent = sent.header(AUTHORIZATION, self.place.bearer.clone()).body(body.to_bytes());
        let answer = sent.send().await.map_err(|error| {
            // The URL is said once, and not by each cause.
            Failure::away(&format!("{} cannot be asked", self.place.url), &error.without_url())
        })?;
        Ok(Response::from(answer).map(Body::new))
    }
}
