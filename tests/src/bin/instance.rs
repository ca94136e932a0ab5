//! An instance of a service, as a process of its own: a store, a cache, and requests on demand.
//!
//! It takes the database's URL or the name of a SQLite file, its name and its `max_staleness` in milliseconds as arguments,
//! and a command a line on standard input:
//!
//! * `verify KEY` answers how the key is judged;
//! * `hammer RATE KEY` verifies it so many times a second until it is refused, and answers when
//!   the first refused request began, when the last admitted one did, and how many there were,
//!   times in microseconds of the machine's uptime.

use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{Authenticator, ChangeFeed, Clock, RequestFacts, SystemClock};
use keyauth_postgres::PostgresStore;
use keyauth_sqlite::SqliteStore;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{MissedTickBehavior, interval};

type BoxError = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let [url, name, max_staleness] =
        <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: instance URL NAME MAX_STALENESS_MS")?;
    let max_staleness = Duration::from_millis(max_staleness.parse()?);
    let options = CacheOptions::new().name(name).max_staleness(max_staleness);
    if url.starts_with("postgres") {
        serve(PostgresStore::connect(&url).await?, options).await
    } else {
        serve(SqliteStore::connect(&url).await?, options).await
    }
}

async fn serve(store: impl ChangeFeed + 'static, options: CacheOptions) -> Result<(), BoxError> {
    let lookup = CachedLookup::with_options(store, options);
    let (auth, background) = Authenticator::new(lookup).start();
    say("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["verify", key] => say(&verdict(&auth, key).await),
            ["hammer", rate, key] => say(&hammer(&auth, rate.parse()?, key).await),
            _ => return Err(format!("no command: {line}").into()),
        }
    }
    background.shutdown().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is how it answers")]
fn say(answer: &str) {
    println!("{answer}");
}

async fn verdict(auth: &Authenticator, key: &str) -> String {
    match auth.verify(key, &RequestFacts::new()).await {
        Ok(Ok(_)) => "admitted".to_owned(),
        Ok(Err(denial)) => denial.code().to_owned(),
        Err(error) => error.kind().code().to_owned(),
    }
}

async fn hammer(auth: &Authenticator, rate: u32, key: &str) -> String {
    let clock = SystemClock::new();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    // Made up for: it is a rate that is wanted, not a pause.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut last, mut count) = (0, 0_u64);
    loop {
        ticks.tick().await;
        let began = clock.uptime().as_micros();
        count += 1;
        if auth.verify(key, &RequestFacts::new()).await.is_ok_and(|decision| decision.is_ok()) {
            last = began;
        } else {
            return format!("{began} {last} {count}");
        }
    }
}
