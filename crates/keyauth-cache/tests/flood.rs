//! A flood of keys that nobody has issued, beside keys that are in use (R13). In a program of
//! its own, because it looks at what the whole of it takes.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{Authenticator, Denial, Issuer, KeyStore, MemoryStore, NewKey, RequestFacts};
use keyauth_testkit::Gated;

const HOT: usize = 1_000;
/// How many keys of the flood are asked for again, to see which are remembered as unknown.
const AGAIN: usize = 30_000;
/// How many of them may be: the 10 000 that `CacheOptions` say, and as many again, since entries
/// are evicted in batches. Were all kept for as long as they live, it would be all [`AGAIN`].
const MOST_REMEMBERED: usize = 20_000;
/// What a flood may cost, in KiB: what `CacheOptions` allow for unknown keys, and a little. Each
/// that is kept costs some hundred bytes, so that this tells of a million alone; of fewer,
/// [`MOST_REMEMBERED`] does.
const MOST_MEMORY: u64 = 64 * 1024;

/// Prints the figures; `KEYAUTH_FLOOD=1000000` for those that are worth comparing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn a_flood_of_unknown_keys_pushes_no_hot_one_out() {
    let flood = std::env::var("KEYAUTH_FLOOD").ok().and_then(|text| text.parse().ok());
    let flood: usize = flood.unwrap_or(30_000);
    let store = MemoryStore::new();
    let gate = Gated::new(store.clone());
    // As long as may be, so that what is not remembered was evicted, and has not merely expired.
    let options = CacheOptions::new().unknown_lifetime(Duration::from_secs(60));
    let lookup = CachedLookup::with_options(gate.clone(), options);
    let (auth, background) = Authenticator::new(lookup).start();
    gate.wait_for_polls(1).await;
    let mut hot = Vec::new();
    for _ in 0..HOT {
        let key = store.issue(NewKey::named("hot")).await.expect("a key");
        assert_eq!(verify(&auth, key.reveal()).await, Ok(()));
        hot.push(key);
    }
    assert_eq!(gate.calls(), HOT);
    let before = peak_memory();
    let (flooded, issuer) = (auth.clone(), Issuer::new());
    let flooding = tokio::spawn(async move {
        let mut again = Vec::new();
        for _ in 0..flood {
            let key = issuer.draft(NewKey::named("unknown")).expect("a key").into_issued();
            assert_eq!(verify(&flooded, key.reveal()).await, Err(Denial::InvalidKey));
            if again.len() < AGAIN {
                again.push(key.reveal().to_owned());
            }
        }
        again
    });
    let mut requests = 0_usize;
    while !flooding.is_finished() {
        for key in &hot {
            assert_eq!(verify(&auth, key.reveal()).await, Ok(()));
            requests += 1;
            if requests.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
    }
    let again = flooding.await.expect("no panic");
    let loads = gate.calls() - HOT - flood;
    let after = peak_memory();
    let calls = gate.calls();
    for key in &again {
        assert_eq!(verify(&auth, key).await, Err(Denial::InvalidKey));
    }
    let remembered = again.len() - (gate.calls() - calls);
    println!(
        "{flood} unknown keys, each one load, {remembered} of {} remembered; {requests} requests \
         for {HOT} hot ones, {loads} loads: hit rate {:.4} %; peak memory {before} KiB before, \
         {after} KiB after",
        again.len(),
        100.0 - 100.0 * loads as f64 / requests as f64,
    );
    assert_eq!(loads, 0, "hot keys stay in");
    assert!(remembered <= MOST_REMEMBERED, "{remembered} unknown keys are remembered");
    assert!(after - before < MOST_MEMORY, "{before} KiB before, {after} after");
    background.shutdown().await;
}

async fn verify(auth: &Authenticator, key: &str) -> Result<(), Denial> {
    auth.verify(key, &RequestFacts::new()).await.expect("an answer").map(drop)
}

/// In KiB, as the system counts it; zero where it does not say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
