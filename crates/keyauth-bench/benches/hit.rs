//! A request with a known key: a bare service, one with the layer, and one with the least
//! that could be written by hand: SHA-256 of the key and a look into a map.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use keyauth_cache::CachedLookup;
use keyauth_core::{Authenticator, KeyRecord, KeyStore, MemoryStore, NewKey, RequestFacts};
use keyauth_testkit::at_once;
use keyauth_tower::{KeyAuthLayer, PeerAddress};
use sha2::{Digest, Sha256};
use tower::Service;
use tower_layer::Layer;

const KEYS: usize = 10_000;

/// What the service behind the layer does: nothing.
async fn inner(request: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(black_box(request));
    Ok(Response::new(Full::default()))
}

/// The least that authentication could do.
type ByHand = Arc<RwLock<HashMap<[u8; 32], Arc<KeyRecord>>>>;

async fn by_hand(
    known: ByHand,
    mut request: Request<()>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = request.headers().get("authorization").expect("a key").as_bytes();
    let digest: [u8; 32] = Sha256::digest(header.get(7..).expect("a bearer")).into();
    let record = known.read().expect("no panic").get(&digest).cloned().expect("a known key");
    request.extensions_mut().insert(record);
    inner(request).await
}

fn hit(criterion: &mut Criterion) {
    // A thread of its own polls for changes, as in a service.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
    let (auth, cached, keys, known) = runtime.block_on(prepare(KEYS, 0));
    let (ruled_auth, _, ruled_keys, _) = runtime.block_on(prepare(100, 1_000));
    let (plain_auth, _, plain_keys, _) = runtime.block_on(prepare(100, 0));
    let mut request = requests(&keys);
    let mut group = criterion.benchmark_group("hit");
    group.bench_function("bare service", |bencher| {
        let mut service = tower::service_fn(inner);
        bencher.iter_batched(
            &mut request,
            |request| at_once(service.call(request)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("layer", |bencher| {
        let mut service = KeyAuthLayer::new(auth.clone()).layer(tower::service_fn(inner));
        bencher.iter_batched(
            &mut request,
            |request| at_once(service.call(request)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("layer and cache", |bencher| {
        let mut service = KeyAuthLayer::new(cached.clone()).layer(tower::service_fn(inner));
        bencher.iter_batched(
            &mut request,
            |request| at_once(service.call(request)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("by hand", |bencher| {
        let mut service = tower::service_fn(|request| by_hand(Arc::clone(&known), request));
        bencher.iter_batched(
            &mut request,
            |request| at_once(service.call(request)),
            BatchSize::SmallInput,
        );
    });
    group.finish();

    let mut group = criterion.benchmark_group("1000 networks");
    for (name, auth, keys) in
        [("without", plain_auth, plain_keys), ("with", ruled_auth, ruled_keys)]
    {
        let mut request = requests(&keys);
        let mut service = KeyAuthLayer::new(auth).layer(tower::service_fn(inner));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                &mut request,
                |request| at_once(service.call(request)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Requests with the keys in turn, from an address that a server would have put in.
fn requests(keys: &[HeaderValue]) -> impl FnMut() -> Request<()> {
    let mut next = keys.iter().cycle();
    move || {
        let mut request = Request::new(());
        request.headers_mut().insert("authorization", next.next().expect("endless").clone());
        request.extensions_mut().insert(PeerAddress(([10, 0, 3, 231], 1).into()));
        request
    }
}

/// So many keys, each with so many networks it may be used from, behind the store alone, behind
/// the cache, and by hand.
async fn prepare(
    count: usize,
    networks: usize,
) -> (Authenticator, Authenticator, Vec<HeaderValue>, ByHand) {
    let store = MemoryStore::new();
    let auth = Authenticator::new(store.clone());
    let (cached, background) = Authenticator::new(CachedLookup::new(store.clone())).start();
    // It goes on for as long as the cache is there.
    drop(background);
    let (mut keys, mut known) = (Vec::new(), HashMap::new());
    for number in 0..count {
        let mut new = NewKey::named(format!("key {number}")).scope("reports:read");
        for network in 0..networks {
            // Every other address, so that no two merge.
            let address = network * 2 + 1;
            new = new.allow_address(format!("10.0.{}.{}", address / 256, address % 256));
        }
        let key = store.issue(new).await.expect("a key");
        keys.push(format!("Bearer {}", key.reveal()).parse().expect("a value"));
        let digest = Sha256::digest(key.reveal()).into();
        known.insert(digest, key);
    }
    let mut records = HashMap::new();
    let facts = RequestFacts::new().with_address([10, 0, 3, 231].into());
    for (digest, key) in known {
        let admission = auth.verify(key.reveal(), &facts).await.expect("an answer");
        let record = admission.expect("admitted").record().clone();
        cached.verify(key.reveal(), &facts).await.expect("an answer").expect("admitted");
        records.insert(digest, Arc::new(record));
    }
    (auth, cached, keys, Arc::new(RwLock::new(records)))
}

criterion_group!(benches, hit);
criterion_main!(benches);
