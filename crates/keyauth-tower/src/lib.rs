//! API key authentication as a tower layer, for axum, tonic and anything else on `http`.
//!
//! ```
//! use keyauth_core::{Authenticator, KeyStore, MemoryStore, NewKey};
//! use keyauth_tower::{KeyAuthLayer, Principal};
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use bytes::Bytes;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let key = store.issue(NewKey::named("ci").owner("ada")).await?;
//!
//! let service = ServiceBuilder::new()
//!     .layer(KeyAuthLayer::new(Authenticator::new(store)))
//!     .service_fn(|request: Request<Full<Bytes>>| async move {
//!         let who = request.extensions().get::<Principal>().expect("behind the layer");
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::from(who.owner().to_string())))
//!     });
//!
//! let stranger = Request::new(Full::default());
//! let response = service.clone().oneshot(stranger).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//!
//! let friend = Request::builder().header("authorization", format!("Bearer {}", key.reveal()));
//! let response = service.oneshot(friend.body(Full::default())?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! The rules it decides by:
//!
//! * The first of the [`KeySources`] that holds a key of ours counts. Any header or
//!   parameter that a source reads and that is there twice is refused, and so is a key in
//!   the query that nobody configured.
//! * Where the record is at hand, the inner service is called at once: nothing is awaited,
//!   cloned or boxed.
//! * A [`Principal`] in the extensions comes from the layer or is removed. Headers in which
//!   clients call themselves somebody are not read.
//! * A refusal is a response, never the service's error. "No" is 400 to 429; "no answer" is
//!   503 and never anything else.
//!
//! Caveats: inside an axum router that is nested, endpoint rules see the whole path only
//! with feature `axum`. A CORS layer goes outside of this one, or preflight requests, which
//! carry no key, are refused.

mod address;
mod body;
mod charge;
mod charging;
mod decide;
#[cfg(feature = "axum")]
mod extract;
mod finish;
mod future;
mod head;
mod layer;
mod limits;
mod observe;
mod permit;
mod principal;
mod rate_limit;
mod refusal;
mod require;
mod service;
mod source;
mod token;

pub use address::{ClientAddress, ForwardingHeader, PeerAddress};
pub use body::ResponseBody;
pub use charge::Charge;
pub use future::ResponseFuture;
pub use head::RequestHead;
pub use layer::KeyAuthLayer;
pub use principal::Principal;
pub use rate_limit::{RateLimit, RateLimitFuture, RateLimitLayer};
pub use refusal::{Reason, Refusal, Shape, openai_error};
pub use require::{
    Require, RequireEndpoint, RequireFuture, RequireGroup, RequireResource, RequireScope,
    Requirement,
};
pub use service::KeyAuth;
pub use source::{Credential, KeySource, KeySources};
