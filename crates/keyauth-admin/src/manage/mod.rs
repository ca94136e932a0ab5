//! The management API.

mod acting;
mod audit;
mod budgets;
mod document;
mod explain;
pub(crate) mod facts;
mod groups;
mod keys;
mod limits;
mod own;
mod owners;
mod path;
mod responses;
mod scope;
mod store;
mod subject;
mod tenants;
mod usage;
mod verify;
mod who;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use keyauth_core::{Authenticator, Clock, UsageReader};
use keyauth_tower::KeyAuthLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::OwnUsage;
use crate::problem::ApiError;
use acting::Acting;
pub use scope::ManagementScope;
use store::DynStore;
pub use store::ManagedStore;
use usage::{DynUsage, Paced};
pub use who::Operator;

/// What bodies hold at most, in bytes.
const MOST: usize = 2 * 1_024 * 1_024;

/// The management API, under `/v1`: tenants, owners, groups, subscriptions, keys, limits, budgets,
/// usage and audit, and decisions for those who do not link this library.
///
/// It is protected by keyauth itself: whoever calls it presents a key that has the
/// [scope](ManagementScope) for it, and acts in that key's tenant, or in others with
/// [`ALL_TENANTS`](ManagementScope::ALL_TENANTS). `/v1/me` any key may call. What it can be asked
/// stands in `/v1/openapi.json`.
///
/// # Example
///
/// ```
/// use keyauth_admin::{ManagementApi, ManagementScope};
/// use keyauth_core::{Authenticator, KeyStore, NewKey};
/// use keyauth_sqlite::SqliteStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("keys.db");
/// let store = SqliteStore::open(file).await?;
/// let auth = Authenticator::new(store.clone());
/// let administrator = ManagementScope::ALL.iter().copied();
/// let administrator = administrator.fold(NewKey::named("administrator"), NewKey::scope);
/// let key = store.issue(administrator).await?;
///
/// let app: axum::Router = ManagementApi::new(auth, store).into_router();
/// # let _ = (app, key);
/// # Ok(())
/// # }
/// ```
pub struct ManagementApi {
    api: Api,
    layer: KeyAuthLayer,
    own_usage: Router<Api>,
}

/// What handlers share.
#[derive(Clone)]
struct Api {
    auth: Authenticator,
    store: Arc<dyn DynStore>,
    usage: Arc<dyn DynUsage>,
    clock: Arc<dyn Clock>,
    /// Who asks, where nobody else can.
    operator: Option<Operator>,
}

impl FromRef<Api> for Arc<dyn DynStore> {
    fn from_ref(api: &Api) -> Self {
        Arc::clone(&api.store)
    }
}

impl ManagementApi {
    /// Manages a store. Whoever calls is let through by `auth`, which also makes the decisions that
    /// are asked for.
    #[must_use]
    pub fn new<S: ManagedStore>(auth: Authenticator, store: S) -> Self {
        let own_usage = OwnUsage::new(store.clone()).with_ledger(store.clone()).into_router();
        let usage: Arc<dyn DynUsage> = Arc::new(Paced::new(store.clone()));
        let clock = Arc::clone(store.issuer().clock());
        let layer = KeyAuthLayer::new(auth.clone());
        let api = Api { auth, store: Arc::new(store), usage, clock, operator: None };
        Self { api, layer, own_usage }
    }

    /// Lets callers through by a layer that is set up otherwise: behind proxies, say. It must stand
    /// on the same authenticator.
    #[must_use]
    pub fn with_layer(self, layer: KeyAuthLayer) -> Self {
        Self { layer, ..self }
    }

    /// Reads usage from the recorder of this process, so that what it still has to write is there.
    #[must_use]
    pub fn with_usage<R: UsageReader + Clone + 'static>(self, own: OwnUsage<R>, reader: R) -> Self {
        let api = Api { usage: Arc::new(Paced::new(reader)), ..self.api };
        Self { api, own_usage: own.into_router(), ..self }
    }

    /// The router, to be merged into others or served by itself.
    pub fn into_router(self) -> Router {
        let (router, _) = routes().merge(own::router()).split_for_parts();
        let router = router.nest("/v1/me/usage", self.own_usage);
        let protected = bounded(router).route_layer(self.layer).with_state(self.api);
        let document = Router::new().route("/v1/openapi.json", get(document::answer));
        protected.merge(document).layer(map_response(not_stored))
    }

    /// The router without its layer, for a program that has the store to itself, as a command line
    /// has. It asks for no key: **whoever reaches it is the operator**, and may do everything in
    /// every tenant. It must never be served. What a key may ask of itself it does not have.
    pub fn into_operator_router(self, operator: Operator) -> Router {
        let (router, _) = routes().split_for_parts();
        bounded(router).with_state(Api { operator: Some(operator), ..self.api })
    }

    /// What can be asked, as OpenAPI 3.1.
    #[must_use]
    pub fn document() -> OpenApi {
        let (_, document) = routes().merge(own::router()).split_for_parts();
        document
    }
}

fn bounded(router: Router<Api>) -> Router<Api> {
    router
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(MOST))
}

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(document::head())
        .merge(tenants::router())
        .merge(owners::router())
        .merge(groups::router())
        .merge(keys::router())
        .merge(verify::router())
        .merge(explain::router())
        .merge(limits::router())
        .merge(budgets::router())
        .merge(usage::router())
        .merge(audit::router())
}

/// No answer is for caches: some have keys in them.
async fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl fmt::Debug for ManagementApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagementApi").field("layer", &self.layer).finish_non_exhaustive()
    }
}
