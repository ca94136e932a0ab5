//! An axum service behind keyauth, on one file.
//!
//! The first start creates the file and a demo key, and prints the key, once. `PORT`
//! (default 3000) and `KEYAUTH_DB` (default `quickstart.db`) say where.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use keyauth_cache::CachedLookup;
use keyauth_core::{
    Authenticator, IssuedKey, KeyQuery, KeyStatus, KeyStore, NewKey, Scope, StoreError, TenantId,
};
use keyauth_sqlite::SqliteStore;
use keyauth_tower::{KeyAuthLayer, Principal, RequireScope};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing_subscriber::filter::LevelFilter;

/// How long connections may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    // What keyauth and axum have to say, on standard error.
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(LevelFilter::INFO).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("quickstart: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    if let Some(argument) = env::args().nth(1) {
        return Err(format!(
            "no argument {argument:?} is known; set PORT (default 3000) and KEYAUTH_DB \
             (default quickstart.db) instead"
        ));
    }
    // The port first: a demo key is shown once, and not by a start that then fails.
    let listener = listen().await?;
    let file = env::var("KEYAUTH_DB").unwrap_or_else(|_| "quickstart.db".to_owned());
    let store = SqliteStore::open(&file).await.map_err(|error| explain(&file, &error))?;
    let new = demo_key(&store).await.map_err(|error| explain(&file, &error))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    if let Err(error) = welcome(&file, address, new.as_ref()) {
        // A key that nobody has seen must not be the one that the next start relies on.
        if let Some(key) = &new {
            store.revoke(key).await.map_err(|error| explain(&file, &error))?;
        }
        return Err(format!("standard output is not to be written to: {error}"));
    }

    let (auth, background) = Authenticator::new(CachedLookup::new(store.clone())).start();
    let app = Router::new()
        .route("/whoami", get(whoami))
        .route("/admin", get(admin).layer(RequireScope::new("admin")))
        .layer(KeyAuthLayer::new(auth))
        .into_make_service_with_connect_info::<SocketAddr>();
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
        served = serving => served.map_err(|error| error.to_string()),
        () = overdue => Ok(()),
    };
    background.shutdown().await;
    store.close().await;
    served
}

async fn whoami(who: Principal) -> Json<Value> {
    let scopes: Vec<_> = who.scopes().iter().map(Scope::as_str).collect();
    let (key, owner) = (who.key_id().to_string(), who.owner().as_str());
    Json(json!({ "key_id": key, "owner": owner, "scopes": scopes }))
}

async fn admin() -> &'static str {
    "only keys with the scope `admin` see this\n"
}

/// Issues the demo key where the store has none that works.
async fn demo_key(store: &SqliteStore) -> Result<Option<IssuedKey>, StoreError> {
    let first = KeyQuery::first(TenantId::default(), 100);
    let keys = store.keys(&first).await?;
    if keys.iter().any(|key| key.status != KeyStatus::Revoked) {
        return Ok(None);
    }
    let demo = NewKey::named("demo").owner("ada").scope("reports:read");
    Ok(Some(store.issue(demo).await?))
}

async fn listen() -> Result<TcpListener, String> {
    let port = match env::var("PORT") {
        Ok(text) => text.parse().map_err(|_| format!("PORT is {text:?}, which is no port"))?,
        Err(_) => 3000,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    listener.map_err(|error| {
        format!("port {port} is not to be had ({error}); choose another: PORT=3001")
    })
}

fn welcome(file: &str, address: SocketAddr, new: Option<&IssuedKey>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}, keys in {file}")?;
    let shown = match new {
        Some(key) => {
            writeln!(out, "\ndemo key, shown this once:\n\n    {}", key.reveal())?;
            key.reveal()
        }
        None => {
            writeln!(out, "\nthe demo key was shown at the first start; for a new one,")?;
            writeln!(out, "stop this and delete {file}")?;
            "<the demo key>"
        }
    };
    writeln!(out, "\ntry:\n")?;
    writeln!(out, "    curl -i http://{address}/whoami")?;
    writeln!(out, "    curl -i http://{address}/whoami -H 'Authorization: Bearer {shown}'")?;
    writeln!(out, "    curl -i http://{address}/whoami -H 'Authorization: Bearer sk_wrong'")?;
    writeln!(out, "\nand, for a scope the demo key lacks:\n")?;
    writeln!(out, "    curl -i http://{address}/admin -H 'Authorization: Bearer {shown}'\n")?;
    out.flush()
}

/// An error with its causes, on one line.
fn explain(file: &str, error: &dyn Error) -> String {
    let mut text = format!("{file}: {error}");
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
