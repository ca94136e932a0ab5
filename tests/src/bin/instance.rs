//! An instance of a service, as a process of its own: a store, a cache, and requests on demand.
//!
//! As arguments it takes the database's URL or the name of a SQLite file, its name, and its
//! `max_staleness` and the grace of an outage in milliseconds; and a command a line on standard
//! input:
//!
//! * `verify KEY` answers how the key is judged;
//! * `hammer RATE KEY` verifies it so many times a second until the next line, and answers when
//!   the first refused request began, when the last admitted one did, when the last one of all
//!   did, and how many there were, times in microseconds of the machine's uptime.

use std::fmt;
use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup, Outage};
use keyauth_core::{Authenticator, ChangeFeed, Clock, RequestFacts, SystemClock};
use keyauth_postgres::PostgresStore;
use keyauth_sqlite::SqliteStore;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{MissedTickBehavior, interval};

type BoxError = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let [url, name, max_staleness, grace] =
        <[String; 4]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: instance URL NAME MAX_STALENESS_MS GRACE_MS")?;
    let max_staleness = Duration::from_millis(max_staleness.parse()?);
    let outage = Outage::ServeCached(Duration::from_millis(grace.parse()?));
    let options = CacheOptions::new().name(name).max_staleness(max_staleness).outage(outage);
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
            ["hammer", rate, key] => {
                let mut hammered = Hammered::default();
                tokio::select! {
                    () = hammer(&auth, rate.parse()?, key, &mut hammered) => {}
                    _ = lines.next_line() => {}
                }
                say(&hammered.to_string());
            }
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

/// Times in microseconds of uptime; of nothing, zero.
#[derive(Default)]
struct Hammered {
    first_refused: u128,
    last_admitted: u128,
    last: u128,
    count: u64,
}

impl fmt::Display for Hammered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.first_refused, self.last_admitted, self.last, self.count)
    }
}

/// Goes on for ever.
async fn hammer(auth: &Authenticator, rate: u32, key: &str, hammered: &mut Hammered) {
    let clock = SystemClock::new();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    // Made up for: it is a rate that is wanted, not a pause.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let began = clock.uptime().as_micros();
        let decision = auth.verify(key, &RequestFacts::new()).await;
        hammered.last = began;
        hammered.count += 1;
        match decision {
            Ok(Ok(_)) => hammered.last_admitted = began,
            Ok(Err(_)) if hammered.first_refused == 0 => hammered.first_refused = began,
            // An answer of another kind: it is no longer served, and not yet refused.
            _ => {}
        }
    }
}
