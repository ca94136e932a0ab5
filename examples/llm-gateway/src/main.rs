//! A proxy in front of a language model, whose keys have money to spend.
//!
//! The model is a fake that this starts itself: it answers with as many words as it is asked for,
//! one after the other. On one file by default (`KEYAUTH_DB`, default `gateway.db`); with `--fleet`
//! on PostgreSQL and Redis (`DATABASE_URL`, `REDIS_URL`), where any number of it share keys, limits
//! and money. `PORT` (default 3000) says where, `KEYAUTH_SPOOL` (default `gateway.spool`) where usage
//! waits that is not written yet.

mod gateway;
mod model;

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use keyauth_cache::CachedLookup;
use keyauth_core::{
    Amount, Authenticator, Budget, BudgetWindow, ChangeFeed, IssuedKey, KeyQuery, KeyStatus,
    KeyStore, Ledger, Limit, NewKey, TenantId, UsageLog, UsageReader,
};
use keyauth_metering::{LedgerMeter, UsageRecorder};
use keyauth_postgres::PostgresStore;
use keyauth_ratelimit::{FleetLimiter, LocalLimiter};
use keyauth_redis::deadpool_redis::{Config, Runtime};
use keyauth_redis::{Redis, RedisCache, RedisLimits};
use keyauth_sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing_subscriber::filter::LevelFilter;

type BoxError = Box<dyn Error + Send + Sync>;

/// How long connections may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(LevelFilter::INFO).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("llm-gateway: {}", explain(&*problem));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            let file = variable("KEYAUTH_DB", "gateway.db");
            let store = SqliteStore::open(&file).await?;
            let lookup = CachedLookup::new(store.clone());
            serve(store, Authenticator::new(lookup).with_limiter(LocalLimiter::new())).await
        }
        [flag] if flag == "--fleet" => {
            let needed = |name| env::var(name).map_err(|_| format!("--fleet needs {name}"));
            let (database, redis) = (needed("DATABASE_URL")?, needed("REDIS_URL")?);
            let store = PostgresStore::connect(&database).await?;
            store.migrate().await?;
            let pool = Config::from_url(redis).create_pool(Some(Runtime::Tokio1))?;
            let redis = Redis::from(pool);
            let lookup = CachedLookup::new(store.clone()).with_shared(RedisCache::new(&redis));
            let limiter = FleetLimiter::new(RedisLimits::new(&redis)).leased();
            let limiter = limiter.with_usage_sums(store.clone());
            serve(store, Authenticator::new(lookup).with_limiter(limiter)).await
        }
        [other, ..] => Err(format!(
            "no argument {other:?} is known; --fleet is, and PORT, KEYAUTH_DB and KEYAUTH_SPOOL in \
             the environment"
        )
        .into()),
    }
}

async fn serve<S>(store: S, auth: Authenticator) -> Result<(), BoxError>
where
    S: KeyStore + ChangeFeed + Ledger + UsageLog + UsageReader + Clone + 'static,
{
    let listener = listen().await?;
    let model = model::start().await?;
    let recorder =
        UsageRecorder::spooled(store.clone(), variable("KEYAUTH_SPOOL", "gateway.spool"))?;
    let meter = LedgerMeter::new(store.clone()).recording(&recorder);
    let (auth, background) = auth.with_meter(meter).start();
    welcome(listener.local_addr()?, demo_key(&store).await?.as_ref())?;
    let app = gateway::router(store, recorder, model, auth);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let (stopping, mut stopped) = watch::channel(false);
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop_signal().await;
        stopping.send_replace(true);
    });
    // Whoever holds a connection open after the signal does not hold up the end.
    let overdue = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(GRACE).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = overdue => Ok(()),
    };
    // Settles what has ended, and writes what was recorded.
    background.shutdown().await;
    Ok(served?)
}

/// Issues a key that has a cent a day, where the store has none that works.
async fn demo_key(store: &impl KeyStore) -> Result<Option<IssuedKey>, BoxError> {
    let keys = store.keys(&KeyQuery::first(TenantId::default(), 100)).await?;
    if keys.iter().any(|key| key.status != KeyStatus::Revoked) {
        return Ok(None);
    }
    let cent: Amount = "0.01".parse()?;
    let demo = NewKey::named("demo")
        .owner("ada")
        .limit(Limit::per_minute(600))
        .budget(Budget::new(cent, BudgetWindow::Day));
    Ok(Some(store.issue(demo).await?))
}

async fn listen() -> Result<TcpListener, BoxError> {
    let port = variable("PORT", "3000");
    let port: u16 = port.parse().map_err(|_| format!("PORT is {port:?}, which is no port"))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    Ok(listener.map_err(|error| {
        format!("port {port} is not to be had ({error}); choose another: PORT=3001")
    })?)
}

fn welcome(address: SocketAddr, new: Option<&IssuedKey>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let shown = new.map_or("<the demo key>", IssuedKey::reveal);
    match new {
        Some(_) => writeln!(out, "demo key, shown this once, a cent a day:\n\n    {shown}\n")?,
        None => writeln!(out, "the demo key was shown at the first start\n")?,
    }
    writeln!(
        out,
        "a short answer, what was used, each call of it, and an answer that is too dear:\n"
    )?;
    for (path, body) in [
        ("v1/completions", Some(r#"{"model":"small","prompt":"hello there","max_tokens":20}"#)),
        ("v1/usage?every=hour&by=resource", None),
        ("v1/usage/calls?format=csv", None),
        ("v1/completions", Some(r#"{"model":"large","prompt":"hello there","max_tokens":4000}"#)),
    ] {
        write!(out, "    curl -N 'http://{address}/{path}' -H 'Authorization: Bearer {shown}'")?;
        match body {
            Some(body) => writeln!(out, " -H 'Content-Type: application/json' -d '{body}'")?,
            None => writeln!(out)?,
        }
    }
    writeln!(out, "\nlistening on http://{address}")?;
    out.flush()
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// An error with its causes, on one line.
fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Ends with Ctrl-C, or with what process managers send.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
