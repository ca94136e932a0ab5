//! A request with a cached key: a bare service, one with the layer, and one with the same by hand.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::convert::Infallible;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use http::Request;
use keyauth_bench::by_hand::ByHandLayer;
use keyauth_bench::fixture::{Cached, inner, requests, ruled, typical};
use keyauth_testkit::at_once;
use keyauth_tower::KeyAuthLayer;
use tower::service_fn;
use tower_layer::Layer;
use tower_service::Service;

fn hit(criterion: &mut Criterion) {
    // A thread of its own polls for changes, as in a service.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
    for count in [1, 1_000, 100_000] {
        let cached = runtime.block_on(Cached::new(count, typical));
        let by_hand = ByHandLayer::new();
        for key in &cached.keys {
            by_hand.remember(key, Some(runtime.block_on(cached.record(key))));
        }
        let mut group = criterion.benchmark_group(format!("hit, {count} keys"));
        measure(&mut group, "bare service", &cached.keys, service_fn(inner));
        let layer = KeyAuthLayer::new(cached.auth);
        measure(&mut group, "layer", &cached.keys, layer.layer(service_fn(inner)));
        measure(&mut group, "by hand", &cached.keys, by_hand.layer(service_fn(inner)));
        group.finish();
    }
    let cached = runtime.block_on(Cached::new(1_000, ruled));
    let mut group = criterion.benchmark_group("hit, 16 limits and 1000 networks");
    let layer = KeyAuthLayer::new(cached.auth);
    measure(&mut group, "layer", &cached.keys, layer.layer(service_fn(inner)));
    group.finish();
}

fn measure<S>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, keys: &[String], mut service: S)
where
    S: Service<Request<()>, Response: Sized, Error = Infallible>,
{
    let mut request = requests(keys);
    group.measurement_time(Duration::from_secs(3)).bench_function(name, |bencher| {
        bencher.iter_batched(
            &mut request,
            |request| at_once(service.call(request)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, hit);
criterion_main!(benches);
