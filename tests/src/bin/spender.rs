//! A process that spends of a budget: many calls at once, of which some are given up, some panic,
//! and some come to more than they have reserved.
//!
//! As arguments it takes a PostgreSQL URL or the path of a file, how many calls it makes, 64 of them at
//! once, and a folder for usage that waits to be written. The key is the first line on standard input.
//! It says when half of the calls have ended; and at the end, how much it has counted, how many calls
//! there was no room for, to how many there was no answer, and how many there were. Asked to terminate,
//! it gives up the calls that are under way, and ends in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{Admission, Amount, Authenticator, CallDetails, Ledger, RequestFacts, UsageLog};
use keyauth_metering::{LedgerMeter, UsageRecorder};
use keyauth_postgres::PostgresStore;
use keyauth_sqlite::SqliteStore;
use sqlx::postgres::PgPoolOptions;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

type BoxError = Box<dyn std::error::Error>;

const AT_ONCE: usize = 64;

#[derive(Default)]
struct Tally {
    ended: AtomicUsize,
    counted: AtomicI64,
    refused: AtomicUsize,
    unanswered: AtomicUsize,
    opened: AtomicUsize,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    // Panics on purpose are no news.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [store, calls, spool] =
        <[String; 3]>::try_from(arguments).map_err(|_| "usage: spender URL|FILE CALLS SPOOL")?;
    let mut key = String::new();
    std::io::stdin().read_line(&mut key)?;
    let calls = calls.parse()?;
    if store.starts_with("postgres:") {
        // Few, since all processes of a test share what the server has.
        let pool = PgPoolOptions::new().max_connections(8).connect(&store).await?;
        let store = PostgresStore::new(pool);
        spend(Authenticator::new(store.clone()), store, &spool, key.trim(), calls).await
    } else {
        let store = SqliteStore::open(&store).await?;
        spend(Authenticator::new(store.clone()), store, &spool, key.trim(), calls).await
    }
}

async fn spend<S: Ledger + UsageLog + Clone + 'static>(
    auth: Authenticator,
    store: S,
    spool: &str,
    key: &str,
    calls: usize,
) -> Result<(), BoxError> {
    let recorder = UsageRecorder::spooled(store.clone(), spool)?;
    let meter = LedgerMeter::new(store).recording(&recorder);
    let (auth, background) = auth.with_meter(meter).start();
    let mut verified = auth.verify(key, &RequestFacts::new()).await;
    // While all processes of a test start, a store may take its time.
    for _ in 0..30 {
        if verified.is_ok() {
            break;
        }
        verified = auth.verify(key, &RequestFacts::new()).await;
    }
    let verified = verified?;
    let admission = verified.map_err(|denial| format!("not admitted: {denial:?}"))?;
    let (left, tally) = (Arc::new(AtomicUsize::new(calls)), Arc::<Tally>::default());
    let (stop, stopped) = watch::channel(false);
    let asked_to = Arc::clone(&left);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminate.recv().await;
        asked_to.store(0, Ordering::Relaxed);
        stop.send_replace(true);
        // Said for as long as there may be calls.
        stop.closed().await;
    });
    let mut calling = Vec::new();
    for _ in 0..AT_ONCE {
        let (auth, admission) = (auth.clone(), admission.clone());
        let (left, tally, stopped) = (Arc::clone(&left), Arc::clone(&tally), stopped.clone());
        calling.push(tokio::spawn(async move {
            let one_less = |left: usize| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                let (auth, admission) = (auth.clone(), admission.clone());
                let (counting, mut stopped) = (Arc::clone(&tally), stopped.clone());
                let one = tokio::spawn(async move {
                    tokio::select! {
                        () = call(&auth, &admission, &counting) => {}
                        _ = stopped.wait_for(|stopped| *stopped) => {}
                    }
                });
                // A panic ends the call alone.
                let _ = one.await;
                if tally.ended.fetch_add(1, Ordering::Relaxed) == calls / 2 {
                    say("half");
                }
            }
        }));
    }
    for caller in calling {
        caller.await?;
    }
    background.shutdown().await;
    let counted = tally.counted.load(Ordering::Relaxed);
    let [refused, unanswered, opened] = [&tally.refused, &tally.unanswered, &tally.opened]
        .map(|count| count.load(Ordering::Relaxed));
    say(&format!("{counted} {refused} {unanswered} {opened} in all"));
    Ok(())
}

async fn call(auth: &Authenticator, admission: &Admission, tally: &Tally) {
    let Some((charge, _hold)) = auth.charge(admission, CallDetails::default) else { return };
    tally.opened.fetch_add(1, Ordering::Relaxed);
    let reserved = 1 + random(1_000_000_000);
    let reserving = charge.reserve(Amount::from_fractions(reserved));
    let patience = match random(8) {
        // Somebody who hangs up while he waits.
        0 => Duration::from_micros(random(3_000).unsigned_abs()),
        _ => Duration::from_secs(60),
    };
    match tokio::time::timeout(patience, reserving).await {
        Err(_) => return,
        Ok(Err(_)) => {
            tally.unanswered.fetch_add(1, Ordering::Relaxed);
            return;
        }
        Ok(Ok(Err(_))) => {
            tally.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        Ok(Ok(Ok(()))) => {}
    }
    // Up to a fifth more than was reserved, in two pieces.
    for _ in 0..2 {
        let piece = random(reserved * 3 / 5);
        charge.add(Amount::from_fractions(piece));
        tally.counted.fetch_add(piece, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_micros(random(2_000).unsigned_abs())).await;
        let fails = random(16) == 0;
        assert!(!fails, "on purpose");
    }
}

/// A number below another.
fn random(below: i64) -> i64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(()) % below.max(1).unsigned_abs();
    i64::try_from(random).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "it is a program's output")]
fn say(line: &str) {
    println!("{line}");
}
