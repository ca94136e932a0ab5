//! The database, its schema, its clock and its feed of changes.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    ChangeFeed, Clock, FeedReader, Instance, KeyQuery, KeyStore, Keyring, StoreError, SystemClock,
    TenantId,
};
use keyauth_postgres::{OpenErrorKind, PostgresStore};
use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::report::{Report, ask};
use crate::database::{Database, Place};
use crate::settings::{Settings, StoreSettings};
use crate::told::{Failure, causes};

/// A channel that nobody else listens to.
const CHANNEL: &str = "keyauth_doctor";

pub(super) async fn look(report: &mut Report, settings: &Settings) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let began = clock.uptime();
    let opened = ask(Database::open_there(&settings.store)).await;
    let took = clock.uptime().saturating_sub(began);
    match opened {
        Err(error) => report.bad("database", &error, "see that it is there, and what its log says"),
        Ok(Database::Sqlite(store)) => {
            report
                .fine("database", &format!("the file is open after {took:.1?}, and up to date"))?;
            let looked = look_inside(report, &settings.store, &store, store.peppers_in_use()).await;
            store.close().await;
            looked
        }
        Ok(Database::Postgres(store)) => {
            report.fine("database", &format!("PostgreSQL lets us in after {took:.1?}"))?;
            if let Place::Server { direct, .. } = &settings.store.database {
                look_at_server(report, &store, direct).await?;
            }
            if !is_migrated(report, &store).await? {
                return Ok(());
            }
            look_inside(report, &settings.store, &store, store.peppers_in_use()).await
        }
    }
}

async fn look_at_server(
    report: &mut Report,
    store: &PostgresStore,
    direct: &PgConnectOptions,
) -> Result<(), Failure> {
    const HELLO: &str = "SELECT current_setting('server_version') AS version, \
         pg_is_in_recovery() AS standby, current_setting('max_connections')::int AS connections, \
         extract(epoch FROM clock_timestamp())::float8 AS now";
    let clock = SystemClock::new();
    let hello = ask(sqlx::query(HELLO).fetch_one(store.pool())).await;
    let read = hello.and_then(|row| {
        let read = || -> Result<_, sqlx::Error> {
            Ok((
                row.try_get::<String, _>("version")?,
                row.try_get::<bool, _>("standby")?,
                row.try_get::<i32, _>("connections")?,
                row.try_get::<f64, _>("now")?,
            ))
        };
        read().map_err(|error| error.to_string())
    });
    match read {
        Err(error) => report.bad("server", &error, "see what its log says")?,
        Ok((version, standby, connections, now)) => {
            let found = format!("version {version}, {connections} connections in all");
            match standby {
                true => report.bad(
                    "server",
                    &format!("{found}; it is a standby"),
                    "name the primary: keys are changed and budgets are charged there",
                )?,
                false if connections < 40 => report.warn(
                    "server",
                    &found,
                    "an instance takes up to 21; raise max_connections, or put a pooler before it",
                )?,
                false => report.fine("server", &found)?,
            }
            report.clock("the database", now - seconds(&clock))?;
        }
    }
    match ask(notified(direct)).await {
        Ok(()) => report.fine("notifications", "they arrive"),
        Err(error) => report.warn(
            "notifications",
            &error,
            "changes arrive with the next poll; behind a pooler, name a way around it with \
             --direct-database",
        ),
    }
}

/// Whether a notification reaches whoever listens, as the feed does.
async fn notified(direct: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(2).connect_with(direct.clone()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&pool).await?;
    listener.recv().await.map(drop)
}

async fn is_migrated(report: &mut Report, store: &PostgresStore) -> Result<bool, Failure> {
    match store.pending_migrations().await {
        Ok(pending) if pending.is_empty() => {
            let latest = store.migrations().last().map_or(0, |migration| migration.version);
            report.fine("schema", &format!("version {latest}, the newest that is known"))?;
            return Ok(true);
        }
        Ok(pending) => report.bad(
            "schema",
            &format!("{} migrations are missing", pending.len()),
            "run `keyauth migrate` with the same database, as a role that may create it",
        )?,
        Err(error) if matches!(error.kind(), OpenErrorKind::NewerSchema { .. }) => {
            report.bad("schema", &error.to_string(), "install that version here")?;
        }
        Err(error) => {
            let advice = "give the role the rights that docs/revocation.md lists";
            report.bad("schema", &causes(&error), advice)?;
        }
    }
    Ok(false)
}

/// What is the same of all stores.
async fn look_inside(
    report: &mut Report,
    settings: &StoreSettings,
    store: &(impl ChangeFeed + KeyStore),
    peppers: impl Future<Output = Result<Vec<(Option<u16>, u64)>, StoreError>>,
) -> Result<(), Failure> {
    match ask(feed(store)).await {
        Ok(()) => report.fine("feed of changes", "it is read and acknowledged")?,
        Err(error) => report.bad(
            "feed of changes",
            &error,
            "instances refuse all keys without it; see that the role has the rights that \
             docs/revocation.md lists, and that the database is the primary",
        )?,
    }
    match ask(peppers).await {
        Ok(peppers) => look_at_peppers(report, &settings.keyring, &peppers)?,
        Err(error) => report.bad("peppers", &error, "see what the database's log says")?,
    }
    let first = KeyQuery::first(TenantId::default(), 1);
    match ask(store.keys(&first)).await {
        Ok(keys) if keys.is_empty() => report.warn(
            "keys",
            "the default tenant has none",
            "`keyauth serve` makes an administrator's with its first start, `keyauth keys create` \
             another",
        ),
        Ok(_) => report.fine("keys", "there are some"),
        Err(error) => report.bad("keys", &error, "see what the database's log says"),
    }
}

/// Reads it as an instance does, and leaves again.
async fn feed(store: &impl ChangeFeed) -> Result<(), keyauth_core::LookupError> {
    let mut reader = store.reader(Instance {
        name: "keyauth doctor".into(),
        max_staleness: Duration::from_secs(5),
        grace: Duration::ZERO,
        clock: Arc::new(SystemClock::new()),
    });
    let read = async {
        reader.poll().await?;
        reader.acknowledge().await
    };
    let read = read.await;
    reader.leave().await;
    read
}

/// Whether the keys that there are can be recognized by the settings that there are.
fn look_at_peppers(
    report: &mut Report,
    keyring: &Keyring,
    used: &[(Option<u16>, u64)],
) -> Result<(), Failure> {
    let told = |(pepper, secrets): &(Option<u16>, u64)| match pepper {
        Some(number) => format!("{secrets} under pepper {number}"),
        None => format!("{secrets} without one"),
    };
    let unknown: Vec<_> =
        used.iter().filter(|(pepper, _)| !keyring.recognizes(*pepper)).map(told).collect();
    if !unknown.is_empty() {
        return report.bad(
            "peppers",
            &format!("not recognized by these settings: {}", unknown.join(", ")),
            "name the file with their peppers by --peppers, or let those without one through with \
             --accept-unpeppered",
        );
    }
    let all: Vec<_> = used.iter().map(told).collect();
    let all = if all.is_empty() {
        "no key has a secret yet; imported keys have none before they are presented".to_owned()
    } else {
        all.join(", ")
    };
    match keyring.recognizes(None) {
        false => report.fine("peppers", &all),
        true => report.warn(
            "peppers",
            &all,
            "whoever can write to the database can make keys: --peppers prevents that for new ones",
        ),
    }
}

/// The time here, since 1970.
#[expect(clippy::cast_precision_loss, reason = "microseconds are more than is told")]
pub(super) fn seconds(clock: &SystemClock) -> f64 {
    clock.now().as_micros() as f64 / 1e6
}
