//! Answers to proxies that ask whether to let a request through.

use std::fmt;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, OriginalUri, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use keyauth_core::{Amount, Denial, Problem, Scope};
use keyauth_tower::{KeyAuthLayer, Principal, Refusal};
use serde::Deserialize;
use tower_service::Service;
use utoipa::IntoParams;

use crate::problem::ApiError;
use crate::read::Query;

const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const CODE: HeaderName = HeaderName::from_static("x-keyauth-code");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// `/auth`, which proxies ask before they let a request through: `auth_request` of nginx,
/// forward-auth of Traefik and Caddy, and `ext_authz` over HTTP of Envoy.
///
/// It decides like the layer, since it is the layer that decides: about the request as the client
/// has sent it. A yes is 200, and says who is calling in headers that the proxy hands on:
///
/// | header | |
/// | --- | --- |
/// | `X-Keyauth-Key` | the key's id |
/// | `X-Keyauth-Tenant`, `X-Keyauth-Owner` | whose it is |
/// | `X-Keyauth-Group` | the group that it is bound to, or nothing |
/// | `X-Keyauth-Scopes` | its scopes, with spaces between |
///
/// All of them are always there, empty where there is nothing to say, so that a proxy which copies
/// them writes over whatever a client has called itself.
///
/// * What is called stands in `X-Forwarded-Method` and `X-Forwarded-Uri`, which Traefik and Caddy
///   set, and nginx must be told to: a client must not be able to write them. Without both, keys
///   with endpoint rules are refused.
/// * Envoy asks below `/auth/`, with the method and the path of the request itself.
/// * `/auth?scope=reports:read&resource=small&cost=3` asks for scopes (with spaces between them) and
///   a resource, and says what limits of cost count it as. That is the proxy's to write; below
///   `/auth/` the query is the client's, and says nothing.
/// * Refusals are those of the layer, with their code in `X-Keyauth-Code` too, and never in the gRPC
///   shape, whose status is 200.
/// * Places among calls at once are given back with the answer, since nobody says when the request
///   itself ends; and nothing is charged, but calls are recorded where the authenticator does that.
///
/// Set up how the client's address is found in the layer: the peer here is the proxy.
///
/// # Example
///
/// ```
/// use keyauth_admin::ForwardAuth;
/// use keyauth_core::{Authenticator, MemoryStore};
/// use keyauth_tower::{ClientAddress, ForwardingHeader, KeyAuthLayer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let proxies = ClientAddress::behind(ForwardingHeader::XForwardedFor, ["127.0.0.1"])?;
/// let layer = KeyAuthLayer::new(Authenticator::new(MemoryStore::new()));
/// let app = ForwardAuth::new(layer.with_client_address(proxies)).into_router();
/// # let _: axum::Router = app;
/// # Ok(())
/// # }
/// ```
pub struct ForwardAuth {
    layer: KeyAuthLayer,
}

/// What the proxy asks for.
#[derive(Debug, Deserialize, IntoParams)]
struct AuthParams {
    scope: Option<String>,
    resource: Option<String>,
    cost: Option<u64>,
}

/// The same, understood: in the extensions of the request that is decided about.
#[derive(Clone, Debug, Default)]
struct Asked {
    scopes: Vec<Scope>,
    resource: Option<String>,
    cost: Option<u64>,
    /// Whether it is known what is called.
    is_endpoint_known: bool,
}

impl ForwardAuth {
    /// Decides by this layer; what it says of [costs](KeyAuthLayer::with_cost) aside.
    #[must_use]
    pub const fn new(layer: KeyAuthLayer) -> Self {
        Self { layer }
    }

    /// The router, to be merged into others or served by itself.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let asked = |head: &keyauth_tower::RequestHead<'_>| {
            head.extensions.get::<Asked>().and_then(|asked| asked.cost).unwrap_or(1)
        };
        let layer = self.layer.http_only().with_cost(asked).with_price(|_| Amount::ZERO);
        let decide = Router::new().fallback(tell).layer(layer);
        Router::new()
            .route("/auth", any(of_headers))
            .route("/auth/", any(of_path))
            .route("/auth/{*path}", any(of_path))
            .with_state(decide)
    }
}

/// Of a proxy that tells in headers what is called.
async fn of_headers(State(decide): State<Router>, request: Request) -> Result<Response, Slip> {
    let (mut parts, body) = request.into_parts();
    let Query(params, ..) = Query::<AuthParams>::from_request_parts(&mut parts, &()).await?;
    let mut asked = params.read()?;
    let mut request = Request::from_parts(parts, body);
    if let Some((method, uri)) = original(request.headers())? {
        if uri.query().is_some() && uri.query() == request.uri().query() {
            let message = "is the client's: the proxy must not hand it on to /auth";
            return Err(ApiError::from(Problem::new("query", message)).into());
        }
        asked.is_endpoint_known = true;
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
    } else {
        // What is asked of us is nothing that the client has sent, and nothing that a layer skips.
        *request.uri_mut() = Uri::from_static("/.well-known/keyauth/unknown-target");
    }
    Ok(ask(decide, request, asked).await)
}

/// Of a proxy that asks by the same method and path, behind a prefix.
async fn of_path(State(decide): State<Router>, mut request: Request) -> Result<Response, Slip> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = path.strip_prefix("/auth").unwrap_or(path);
    *request.uri_mut() =
        path.parse().map_err(|_| ApiError::from(Problem::new("path", "is none")))?;
    Ok(ask(decide, request, Asked { is_endpoint_known: true, ..Asked::default() }).await)
}

/// What the proxy has asked cannot be meant.
struct Slip(ApiError);

impl From<ApiError> for Slip {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Slip {
    fn into_response(self) -> Response {
        let code = HeaderValue::from_static(self.0.code());
        ([(CODE, code)], self.0).into_response()
    }
}

/// The method and the target that the client has sent, where the proxy tells both.
fn original(headers: &HeaderMap) -> Result<Option<(Method, Uri)>, ApiError> {
    let (Some(method), Some(uri)) =
        (only(headers, &FORWARDED_METHOD)?, only(headers, &FORWARDED_URI)?)
    else {
        return Ok(None);
    };
    let method = Method::from_bytes(method.as_bytes());
    let method = method.map_err(|_| Problem::new("X-Forwarded-Method", "is no method"))?;
    let uri = Uri::try_from(uri.as_bytes());
    let uri = uri.map_err(|_| Problem::new("X-Forwarded-Uri", "is no target of a request"))?;
    Ok(Some((method, uri)))
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        Err(Problem::new(name.as_str(), "is there twice"))
    } else {
        Ok(first)
    }
}

/// Has the layer decide about a request as the client has sent it.
async fn ask(mut decide: Router, mut request: Request, asked: Asked) -> Response {
    // What this router has made of it.
    request.extensions_mut().remove::<OriginalUri>();
    request.extensions_mut().remove::<MatchedPath>();
    request.extensions_mut().insert(asked);
    for name in [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING] {
        request.headers_mut().remove(name);
    }
    *request.body_mut() = Body::empty();
    let mut response = match Service::<Request>::call(&mut decide, request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    // For proxies that tell refusals in words of their own.
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        let code = HeaderValue::from_static(refusal.code());
        response.headers_mut().insert(CODE, code);
    }
    response
}

/// Tells who is calling, where nothing more is asked for.
async fn tell(request: Request) -> Response {
    let asked = request.extensions().get::<Asked>().cloned().unwrap_or_default();
    let who = request.extensions().get::<Principal>();
    if let Some(denial) = asked.denied_to(who) {
        return Refusal::of(denial).with_scopes(&asked.scopes).into_response();
    }
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in identity(who) {
        // Ids and scopes are printable.
        let value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""));
        headers.insert(HeaderName::from_static(name), value);
    }
    response
}

/// Nothing, of somebody whom the layer lets through without a key.
fn identity(who: Option<&Principal>) -> [(&'static str, String); 5] {
    let text = |text: fn(&Principal) -> String| who.map(text).unwrap_or_default();
    [
        ("x-keyauth-key", text(|who| who.key_id().to_string())),
        ("x-keyauth-tenant", text(|who| who.tenant().to_string())),
        ("x-keyauth-owner", text(|who| who.owner().to_string())),
        ("x-keyauth-group", text(|who| who.group().map(ToString::to_string).unwrap_or_default())),
        (
            "x-keyauth-scopes",
            text(|who| {
                let scopes: Vec<_> = who.scopes().iter().map(Scope::as_str).collect();
                scopes.join(" ")
            }),
        ),
    ]
}

impl AuthParams {
    fn read(self) -> Result<Asked, ApiError> {
        let scopes = self.scope.iter().flat_map(|scopes| scopes.split_whitespace());
        let scopes = scopes.map(Scope::new).collect::<Result<_, _>>();
        let scopes = scopes.map_err(|error| Problem::new("scope", error.to_string()))?;
        let Self { resource, cost, .. } = self;
        Ok(Asked { scopes, resource, cost, is_endpoint_known: false })
    }
}

impl Asked {
    fn denied_to(&self, who: Option<&Principal>) -> Option<Denial> {
        let Some(who) = who else {
            // Whom the layer lets through without a key has no scope.
            let asks = !self.scopes.is_empty() || self.resource.is_some();
            return asks.then_some(Denial::MissingKey);
        };
        let admits = |resource: &String| who.resources().admit(resource);
        if !self.is_endpoint_known && !who.record().key.endpoints.is_empty() {
            Some(Denial::EndpointDenied)
        } else if !self.resource.as_ref().is_none_or(admits) {
            Some(Denial::ResourceDenied)
        } else if !who.scopes().contains_all(&self.scopes) {
            Some(Denial::ScopeDenied)
        } else {
            None
        }
    }
}

impl fmt::Debug for ForwardAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardAuth").field("layer", &self.layer).finish()
    }
}
