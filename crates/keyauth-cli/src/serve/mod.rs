//! `keyauth serve`.

mod assembled;
mod first_key;
mod health;

use std::io::Write;
use std::net::SocketAddr;

use keyauth_admin::ManagedStore;
use keyauth_core::{UsageLog, UsageSums};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::database::Database;
use crate::settings::Settings;
use crate::told::Failure;
use assembled::Assembled;

pub(crate) async fn serve(settings: Settings) -> Result<(), Failure> {
    // The port first: a key that is shown once must not be by a start that then fails.
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        let message = format!("{} is not to be had; --listen names another", settings.listen);
        Failure::other(&message, &error)
    })?;
    let database = Database::open(&settings.database, &settings.keyring).await?;
    database.require_migrated().await?;
    match database {
        Database::Sqlite(store) => {
            let served = serve_store(&settings, listener, store.clone()).await;
            store.close().await;
            served
        }
        Database::Postgres(store) => {
            let served = serve_store(&settings, listener, store.clone()).await;
            store.pool().close().await;
            served
        }
    }
}

async fn serve_store<S>(settings: &Settings, listener: TcpListener, store: S) -> Result<(), Failure>
where
    S: ManagedStore + UsageLog + UsageSums,
{
    let unread = |error: std::io::Error| Failure::other("the port cannot be told", &error);
    let address = listener.local_addr().map_err(unread)?;
    let (stopping, stopped) = watch::channel(false);
    let Assembled { app, background } = Assembled::new(settings, store.clone(), stopped.clone())?;
    first_key::make(&store, address).await?;
    let told = writeln!(std::io::stdout(), "listening on http://{address}");
    told.map_err(|error| Failure::other("standard output is not to be written to", &error))?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop_signal().await;
        tracing::info!("stopping");
        stopping.send_replace(true);
    });
    // Whoever holds a connection open after the signal does not hold up the end.
    let (drain, mut stopped) = (settings.drain, stopped);
    let overdue = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(drain).await;
    };
    let served = tokio::select! {
        served = serving => served.map_err(|error| Failure::other("serving has ended", &error)),
        () = overdue => Ok(()),
    };
    background.shutdown().await;
    served
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
