//! The layer, in one process, where all it needs is at hand.

use std::convert::Infallible;
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use http::{Request, Response};
use keyauth_core::{Issuer, NewKey, RequestFacts};
use keyauth_testkit::at_once;
use keyauth_tower::KeyAuthLayer;
use tower::service_fn;
use tower_http::validate_request::ValidateRequestHeaderLayer;
use tower_layer::Layer;
use tower_service::Service;

use crate::bench::Bench;
use crate::by_hand::ByHandLayer;
use crate::fixture::{Cached, inner, requests, ruled as ruled_key, typical};
use crate::report::{Bound, Row};
use crate::rounds::Rounds;

/// So many keys in random order are more than fits into the processor's caches.
const KEYS: usize = 100_000;
/// How many requests are made before they are timed: few enough that these stay in its caches.
const BATCH: usize = 1_024;
const ROUNDS: usize = 400;

/// Requests that are made before they are timed.
fn batch(requests: &mut impl FnMut() -> Request<()>) -> Vec<Request<()>> {
    (0..BATCH).map(|_| requests()).collect()
}

/// What one call costs, of a batch.
fn time<S, R>(bench: &Bench, service: &mut S, batch: Vec<Request<()>>) -> Duration
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
{
    let all = bench.time(|| {
        for request in batch {
            drop(at_once(service.call(request)));
        }
    });
    all / u32::try_from(BATCH).expect("a count")
}

fn cached(bench: &Bench, count: usize, new: impl Fn(usize) -> NewKey + Send + 'static) -> Cached {
    bench.block_on(Cached::new(count, new))
}

/// Knows the same keys, filled one by one as the other was.
pub(super) fn by_hand(bench: &Bench, cached: &Cached) -> ByHandLayer {
    let by_hand = ByHandLayer::new();
    for key in &cached.keys {
        by_hand.remember(key, Some(bench.runtime().block_on(cached.record(key))));
    }
    by_hand
}

/// What ours and the baseline cost, each with requests with its own keys, beside the bare service.
fn turns<A, B>(
    bench: &Bench,
    (mut ours, our_keys): (
        impl Service<Request<()>, Response = Response<A>, Error = Infallible>,
        &[String],
    ),
    (mut theirs, their_keys): (
        impl Service<Request<()>, Response = Response<B>, Error = Infallible>,
        &[String],
    ),
) -> Rounds<3> {
    let mut bare = service_fn(inner);
    let [mut for_bare, mut for_ours, mut for_theirs] =
        [their_keys, our_keys, their_keys].map(requests);
    // Each key once by each.
    for _ in 0..our_keys.len().max(their_keys.len()) / BATCH + 1 {
        time(bench, &mut ours, batch(&mut for_ours));
        time(bench, &mut theirs, batch(&mut for_theirs));
    }
    Rounds::run(
        bench.rounds(ROUNDS),
        [
            &mut || time(bench, &mut bare, batch(&mut for_bare)),
            &mut || time(bench, &mut ours, batch(&mut for_ours)),
            &mut || time(bench, &mut theirs, batch(&mut for_theirs)),
        ],
    )
}

pub(crate) fn hit(bench: &Bench) -> Result<Row, String> {
    let rounds = hits(bench, KEYS);
    let what = "what the layer with a local limit adds to a service, 100 000 cached keys; \
                SHA-256, moka and governor by hand";
    Ok(Row::added(what, &rounds, Bound::AtMost(1.5)))
}

/// The bare service, the layer, and the same by hand.
pub(crate) fn hits(bench: &Bench, count: usize) -> Rounds<3> {
    let cached = cached(bench, count, typical);
    let theirs = by_hand(bench, &cached).layer(service_fn(inner));
    let ours = KeyAuthLayer::new(cached.auth).layer(service_fn(inner));
    turns(bench, (ours, &cached.keys), (theirs, &cached.keys))
}

/// The bare service, the layer with keys of one kind, and the layer with plain ones.
pub(crate) fn beside_plain(
    bench: &Bench,
    new: impl Fn(usize) -> NewKey + Send + 'static,
) -> Rounds<3> {
    const KEYS: usize = 1_000;
    let (those, plain) = (cached(bench, KEYS, new), cached(bench, KEYS, typical));
    let [ours, baseline] =
        [those.auth, plain.auth].map(|auth| KeyAuthLayer::new(auth).layer(service_fn(inner)));
    turns(bench, (ours, &those.keys), (baseline, &plain.keys))
}

pub(crate) fn ruled(bench: &Bench) -> Result<Row, String> {
    let rounds = beside_plain(bench, ruled_key);
    let what = "the same with 16 limits and 1000 networks on each of 1000 keys; with one limit";
    Ok(Row::added(what, &rounds, Bound::AtMost(2.0)))
}

/// Two threads at once beside one alone, which do the same with what they share.
pub(crate) fn two_threads(bench: &Bench) -> Result<Row, String> {
    const BATCHES: usize = 32;
    let cached = cached(bench, KEYS, typical);
    let layer = KeyAuthLayer::new(cached.auth);
    let callers = [0, KEYS / 2].map(|from| {
        let requests = requests(&[&cached.keys[from..], &cached.keys[..from]].concat());
        (layer.layer(service_fn(inner)), requests)
    });
    let callers = Mutex::new(callers);
    let calls = |count: usize| {
        let mut callers = callers.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Barrier::new(count);
        let times: Vec<Duration> = thread::scope(|scope| {
            let callers = callers.iter_mut().take(count);
            let running: Vec<_> = callers
                .map(|(service, requests)| {
                    let one = || {
                        let batch = batch(requests);
                        // All begin each batch together.
                        start.wait();
                        time(bench, service, batch)
                    };
                    scope.spawn(|| std::iter::repeat_with(one).take(BATCHES).sum())
                })
                .collect();
            running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let longest = times.into_iter().max().expect("a thread");
        longest / u32::try_from(count * BATCHES).expect("a count")
    };
    let rounds = Rounds::run(bench.rounds(48), [&mut || calls(2), &mut || calls(1)]);
    let what = "requests a second by two threads; by one";
    Ok(Row::of(what, &rounds, Bound::AtLeast(1.8)))
}

pub(crate) fn malformed(bench: &Bench) -> Result<Row, String> {
    let good = keys(1_024);
    let wrong = good.iter().map(|key| format!("{}0", &key[..key.len() - 1])).collect::<Vec<_>>();
    let what = "keys with a wrong checksum, refused; the same by hand, where they are unknown";
    refused(bench, &wrong, what)
}

pub(crate) fn unknown(bench: &Bench) -> Result<Row, String> {
    let what = "keys that are known to be unknown, refused; the same by hand";
    refused(bench, &keys(1_024), what)
}

/// Texts of keys that nobody has issued.
fn keys(count: usize) -> Vec<String> {
    let issuer = Issuer::new();
    let draft = |_| issuer.draft(NewKey::named("unknown")).expect("a key").into_issued();
    (0..count).map(draft).map(|key| key.reveal().to_owned()).collect()
}

fn refused(bench: &Bench, texts: &[String], what: &'static str) -> Result<Row, String> {
    let cached = cached(bench, KEYS, typical);
    let by_hand = by_hand(bench, &cached);
    for text in texts {
        let facts = RequestFacts::new();
        let asked = bench.runtime().block_on(cached.auth.verify(text, &facts));
        asked.expect("an answer").expect_err("unknown");
        by_hand.remember(text, None);
    }
    let mut ours = KeyAuthLayer::new(cached.auth).layer(service_fn(inner));
    let mut theirs = by_hand.layer(service_fn(inner));
    let mut request = requests(texts);
    let of_ours = at_once(ours.call(request())).map(|response| response.status());
    let of_theirs = at_once(theirs.call(request())).map(|response| response.status());
    assert_eq!(of_ours, of_theirs, "both refuse it");
    let rounds = turns(bench, (ours, texts), (theirs, texts));
    Ok(Row::added(what, &rounds, Bound::AtMost(1.5)))
}

/// Beside the layer that compares the header with one token.
pub(crate) fn tower_http(bench: &Bench) -> Result<Row, String> {
    let cached = cached(bench, 1, |_| NewKey::named("one"));
    #[expect(deprecated, reason = "too simple for a service, which is what it is compared for")]
    let theirs = ValidateRequestHeaderLayer::bearer(&cached.keys[0]);
    let ours = KeyAuthLayer::new(cached.auth).layer(service_fn(inner));
    let theirs = theirs.layer(service_fn(inner));
    let rounds = turns(bench, (ours, &cached.keys), (theirs, &cached.keys));
    let what = "the layer with one key; tower_http's comparison of the header with one token";
    Ok(Row::added(what, &rounds, Bound::None))
}
