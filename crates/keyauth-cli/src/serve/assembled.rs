//! The server, put together by its settings.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use keyauth_admin::{ForwardAuth, ManagedStore, ManagementApi, OwnUsage};
use keyauth_cache::CachedLookup;
use keyauth_core::{Authenticator, Background, UsageLog, UsageSums};
use keyauth_import::KeyImporter;
use keyauth_metering::{LedgerMeter, UsageRecorder};
use keyauth_ratelimit::{FleetLimiter, LocalLimiter};
use keyauth_redis::{Redis, RedisCache, RedisLimits};
use keyauth_tower::KeyAuthLayer;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::health::{self, Health};
use crate::settings::Settings;
use crate::told::Failure;

/// What is served, and what goes on beside it.
pub(super) struct Assembled {
    pub(super) app: Router,
    pub(super) background: Background,
}

/// What a browser is told.
const WHERE: &str = "keyauth: the management API is under /v1, and described by /v1/openapi.json; \
                     proxies ask /auth\n";

/// Forgets what is too old to be told, also where nobody asks, and counts what is under way.
async fn keep_up(recorded: PrometheusHandle, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                recorded.run_upkeep();
                let tasks = Handle::current().metrics().num_alive_tasks();
                metrics::gauge!("keyauth_tasks").set(f64::from(u32::try_from(tasks).unwrap_or(u32::MAX)));
            }
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

impl Assembled {
    pub(super) fn new<S>(
        settings: &Settings,
        store: S,
        stopped: watch::Receiver<bool>,
    ) -> Result<Self, Failure>
    where
        S: ManagedStore + UsageLog + UsageSums,
    {
        let recorder = UsageRecorder::spooled(store.clone(), &settings.spool).map_err(|error| {
            let message = format!("{} cannot be written to", settings.spool.display());
            Failure::other(&message, &error)
        })?;
        let recorder = match settings.keep_calls {
            Some(time) => recorder.keep_calls_for(time),
            None => recorder,
        };
        let meter = LedgerMeter::new(store.clone()).recording(&recorder);
        let lookup = CachedLookup::new(store.clone());
        let auth = match &settings.redis {
            None => {
                let auth = Authenticator::new(lookup);
                auth.with_limiter(LocalLimiter::new())
            }
            Some(pool) => {
                let redis = Redis::from(pool.clone());
                let lookup = lookup.with_shared(RedisCache::new(&redis));
                let limiter = FleetLimiter::new(RedisLimits::new(&redis)).leased();
                Authenticator::new(lookup).with_limiter(limiter.with_usage_sums(store.clone()))
            }
        };
        let auth = auth.with_meter(meter);
        let auth = match settings.store.keyring.accepts_imported_keys() {
            true => auth.with_importer(KeyImporter::new(store.clone())),
            false => auth,
        };
        let (auth, background) = auth.start();
        let layer = || {
            KeyAuthLayer::new(auth.clone())
                .with_client_address(settings.address.clone())
                .with_realm("keyauth")
        };
        let own = OwnUsage::new(recorder.clone()).with_ledger(store.clone());
        let api = ManagementApi::new(auth.clone(), store.clone());
        let api = api.with_layer(layer()).with_usage(own, recorder);
        let metrics = PrometheusBuilder::new().install_recorder();
        let metrics = metrics.map_err(|error| Failure::other("no metrics can be kept", &error))?;
        tokio::spawn(keep_up(metrics.clone(), stopped.clone()));
        let health = Health::new(store, stopped);
        tokio::spawn(health::keep_asking(health.clone()));
        let app = Router::new()
            .route("/", get(|| async { WHERE }))
            .merge(api.into_router())
            .merge(ForwardAuth::new(layer()).into_router())
            .merge(health::router(health))
            .route("/metrics", get(move || async move { metrics.render() }))
            .fallback(|| async { keyauth_admin::ApiError::NotFound });
        Ok(Self { app, background })
    }
}
