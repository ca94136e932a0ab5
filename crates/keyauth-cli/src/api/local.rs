//! A store that is at hand.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use keyauth_admin::{ManagedStore, ManagementApi, Operator};
use keyauth_core::{
    Actor, Authenticator, Background, Importer, LookupError, PlaintextKey, Recognition, TenantId,
};
use keyauth_metering::LedgerMeter;
use keyauth_ratelimit::LocalLimiter;
use tower_service::Service;

use crate::database::Database;
use crate::settings::StoreSettings;
use crate::told::Failure;

/// How long it may take to end.
const CLOSING: Duration = Duration::from_secs(5);

/// The API on a store, for whoever may open that.
pub(super) struct Local {
    router: Router,
    background: Background,
    database: Database,
}

impl Local {
    pub(super) async fn open(settings: &StoreSettings) -> Result<Self, Failure> {
        let database = Database::open_there(settings).await?;
        database.require_migrated().await?;
        let (router, background) = match &database {
            Database::Sqlite(store) => assemble(settings, store.clone())?,
            Database::Postgres(store) => assemble(settings, store.clone())?,
        };
        Ok(Self { router, background, database })
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = self.router.clone().call(request).await;
        response
    }

    pub(super) async fn close(self) {
        let _ = tokio::time::timeout(CLOSING, self.background.shutdown()).await;
        let _ = tokio::time::timeout(CLOSING, self.database.close()).await;
    }
}

fn assemble(
    settings: &StoreSettings,
    store: impl ManagedStore,
) -> Result<(Router, Background), Failure> {
    let auth = Authenticator::new(store.clone()).with_limiter(LocalLimiter::new());
    let auth = auth.with_meter(LedgerMeter::new(store.clone()));
    let auth = match settings.keyring.accepts_imported_keys() {
        true => auth.with_importer(LeftToServers),
        false => auth,
    };
    let (auth, background) = auth.start();
    let operator = Operator::new(actor()?, TenantId::default());
    Ok((ManagementApi::new(auth, store).into_operator_router(operator), background))
}

/// Keys of other systems are for servers to recognise: each is digested anew then, for good, and by the
/// peppers of whoever does it. So of one that is not known yet there is no answer here.
struct LeftToServers;

impl Importer for LeftToServers {
    async fn recognise(&self, _: PlaintextKey) -> Result<Recognition, LookupError> {
        Err(LookupError::unavailable("keys of other systems are recognised by servers"))
    }
}

/// Whom the audit names: whoever has logged in.
fn actor() -> Result<Actor, Failure> {
    let user =
        ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let named = user.map(|user| Actor::new(format!("cli:{user}")));
    let actor = named.and_then(Result::ok).map_or_else(|| Actor::new("cli"), Ok);
    actor.map_err(|error| Failure::other("nobody can be named", &error))
}
