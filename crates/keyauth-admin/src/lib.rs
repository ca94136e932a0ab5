//! Managing API keys over HTTP, as axum routers: the management API, answers to proxies, and what a
//! key has used.
//!
//! ```
//! use axum::Router;
//! use axum::body::Body;
//! use axum::http::{Request, StatusCode};
//! use keyauth_admin::OwnUsage;
//! use keyauth_core::{Authenticator, KeyStore, NewKey};
//! use keyauth_metering::{LedgerMeter, UsageRecorder};
//! use keyauth_sqlite::SqliteStore;
//! use keyauth_tower::KeyAuthLayer;
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("keys.db");
//! let store = SqliteStore::open(file).await?;
//! let recorder = UsageRecorder::in_memory(store.clone());
//! let meter = LedgerMeter::new(store.clone()).recording(&recorder);
//! let (auth, background) = Authenticator::new(store.clone()).with_meter(meter).start();
//!
//! let usage = OwnUsage::new(recorder).with_ledger(store.clone());
//! let app = Router::new()
//!     .nest("/v1/usage", usage.into_router())
//!     .layer(KeyAuthLayer::new(auth));
//!
//! let key = store.issue(NewKey::named("ci")).await?;
//! let request = Request::builder()
//!     .uri("/v1/usage?every=hour&by=route")
//!     .header("authorization", format!("Bearer {}", key.reveal()));
//! let response = app.oneshot(request.body(Body::empty())?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! background.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The rules they keep:
//!
//! * [`OwnUsage`] stands behind [`KeyAuthLayer`](keyauth_tower::KeyAuthLayer): without an admitted
//!   key it answers 401. Whose usage it is comes from the key alone, never from what the client says.
//! * [`ManagementApi`] brings its own layer, and lets nobody do or give what its key may not. The
//!   document of what it can be asked is for anybody.
//! * [`ForwardAuth`] is the layer, about the request that a proxy tells of.
//! * Of usage a key reads one answer at a time, and all keys four: what requests need of the database
//!   stays theirs.
//! * A parameter or field that is unknown, repeated or no value of its kind is 400, and named.
//! * An export holds nothing between its pages, so that slow readers cost nothing.

mod forward_auth;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[expect(
    unused_qualifications,
    reason = "the macro of the document names what it is given in full"
)]
mod manage;
mod problem;
mod read;
mod usage;
mod wire;

pub use forward_auth::ForwardAuth;
pub use manage::{ManagedStore, ManagementApi, ManagementScope, Operator};
pub use problem::ApiError;
pub use usage::{OwnUsage, UsageFormat, export_usage};
