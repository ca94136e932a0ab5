//! `keyauth serve`.

mod assembled;
mod connections;
mod health;

use std::time::Duration;

use keyauth_admin::ManagedStore;
use keyauth_core::{Keyring, StoreError, UsageLog, UsageSums};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin_key::make_first;
use crate::database::Database;
use crate::settings::Settings;
use crate::signal::stop_signal;
use crate::told::{Failure, say};
use assembled::Assembled;
use connections::Bounds;

/// How long each thing may take that is closed at the end.
const CLOSING: Duration = Duration::from_secs(15);

pub(crate) async fn serve(settings: Settings) -> Result<(), Failure> {
    // The port first: a key that is shown once must not be by a start that then fails.
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        let message = format!("{} is not to be had; --listen names another", settings.listen);
        Failure::other(&message, &error)
    })?;
    let opening = async {
        let database = Database::open(&settings.store).await?;
        database.require_migrated().await?;
        Ok(database)
    };
    let database = tokio::select! {
        opened = opening => opened?,
        // The first process of a container hears no signal that it has not asked for.
        () = stop_signal() => return Ok(()),
    };
    match database {
        Database::Sqlite(store) => {
            let (keyring, asked) = (settings.store.keyring.clone(), store.clone());
            tokio::spawn(async move { warn_of(&keyring, asked.peppers_in_use().await) });
            let served = serve_store(&settings, listener, store.clone()).await;
            let _ = tokio::time::timeout(CLOSING, store.close()).await;
            served
        }
        Database::Postgres(store) => {
            let (keyring, asked) = (settings.store.keyring.clone(), store.clone());
            tokio::spawn(async move { warn_of(&keyring, asked.peppers_in_use().await) });
            serve_store(&settings, listener, store).await
        }
    }
}

/// Says what these settings do not know of the keys that there are.
fn warn_of(keyring: &Keyring, peppers: Result<Vec<(Option<u16>, u64)>, StoreError>) {
    for (pepper, secrets) in peppers.into_iter().flatten() {
        if !keyring.recognizes(pepper) {
            let pepper = pepper.map_or_else(|| "none".to_owned(), |number| number.to_string());
            tracing::warn!(pepper, secrets, "keys are refused, since their pepper is not named");
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
    // When nothing of what was set can be wrong any more.
    make_first(&store).await?;
    // Whoever has started it may not read on.
    let _ = say(format!("listening on http://{address}\n").as_bytes());
    tokio::spawn(async move {
        stop_signal().await;
        tracing::info!("stopping");
        stopping.send_replace(true);
    });
    let serving = connections::serve(listener, app, stopped.clone(), Bounds::default());
    // Whoever holds a connection open after the signal does not hold up the end.
    let (drain, mut overdue) = (settings.drain, stopped.clone());
    let overdue = async {
        let _ = overdue.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(drain).await;
    };
    let ending = async {
        tokio::select! {
            () = serving => {}
            () = overdue => {}
        }
        // Nor does a database that is away; what is not written then stays in the spool.
        let _ = tokio::time::timeout(CLOSING, background.shutdown()).await;
    };
    // Nor does any of that hold up whoever says it twice.
    let mut stopped = stopped;
    let again = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        stop_signal().await;
    };
    tokio::select! {
        () = ending => Ok(()),
        () = again => Err(Failure::failed("ended at once, by a second signal")),
    }
}
