//! Decisions over limits.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use keyauth_core::{Limit, LimitDecision, Limited, LimitedCall, Limiter, TryAcquire};
use keyauth_ratelimit::{FleetLimiter, LocalLimiter};
use keyauth_redis::{Redis, RedisLimits, deadpool_redis};
use keyauth_testkit::RedisServers;
use keyauth_testkit::conformance::limiter::limited_key;
use keyauth_tower::RateLimitLayer;
use tower::service_fn;
use tower_layer::Layer;
use tower_service::Service;

use crate::bench::{Bench, one_by_one};
use crate::by_hand::limits::{SlidingWindow, governed};
use crate::report::{Bound, Row};
use crate::rounds::Rounds;

const PLENTY: u64 = 4_000_000_000;
const KEYS: usize = 1_000;
const CALLS: usize = 10_000;

fn within(decision: &LimitDecision) {
    assert!(matches!(decision, LimitDecision::Within(_)), "there is plenty");
}

fn keys(count: usize) -> Vec<Limited> {
    (0..count).map(|_| limited_key([Limit::per_hour(PLENTY)])).collect()
}

async fn redis() -> (RedisServers, deadpool_redis::Pool, Redis) {
    let servers = RedisServers::start().await;
    let pool = deadpool_redis::Config::from_url(servers.urls().remove(0));
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).expect("a pool");
    let redis = Redis::from(pool.clone()).with_timeout(Duration::from_secs(1));
    (servers, pool, redis)
}

/// From what was taken ahead; where nothing is there, Redis is asked, and that counts too.
pub(crate) fn leased(bench: &Bench) -> Result<Row, String> {
    let (_servers, _pool, redis) = bench.block_on(redis());
    let _entered = bench.runtime().enter();
    let leased = FleetLimiter::new(RedisLimits::new(&redis)).leased().with_instances(1);
    let (local, background) = (LocalLimiter::new(), leased.start());
    let all = keys(KEYS);
    let ours = |number: usize| {
        let call = LimitedCall { limited: &all[number % KEYS], cost: 1, report: false };
        within(&match leased.try_acquire(&call) {
            TryAcquire::Decided(decision) => decision,
            _ => bench.runtime().block_on(leased.acquire(call.to_owned())).expect("an answer"),
        });
    };
    let baseline = |number: usize| {
        let call = LimitedCall { limited: &all[number % KEYS], cost: 1, report: false };
        let TryAcquire::Decided(decision) = local.try_acquire(&call) else {
            unreachable!("a local limiter asks nobody")
        };
        within(&decision);
    };
    // Until it is known how much is used.
    for _ in 0..50 {
        bench.time_each(CALLS, ours);
    }
    let rounds = Rounds::run(
        bench.rounds(160),
        [&mut || bench.time_each(CALLS, ours), &mut || bench.time_each(CALLS, baseline)],
    );
    bench.runtime().block_on(background.shutdown());
    let what = "a decision from a lease, one limit of 1000 keys; in one process";
    Ok(Row::of(what, &rounds, Bound::AtMost(2.0)))
}

/// One limit in Redis.
pub(crate) fn shared(bench: &Bench) -> Result<Row, String> {
    const CALLS: usize = 500;
    let (_servers, pool, redis) = bench.block_on(redis());
    let ours = FleetLimiter::new(RedisLimits::new(&redis));
    let theirs = bench.block_on(SlidingWindow::new(pool));
    let limited: Arc<[Limited]> = keys(100).into();
    let rounds = Rounds::run(
        bench.rounds(24),
        [
            &mut || {
                let (ours, limited) = (ours.clone(), Arc::clone(&limited));
                bench.block_on(async move {
                    let call = |number: usize| {
                        let limited = &limited[number % limited.len()];
                        let call = LimitedCall { limited, cost: 1, report: false }.to_owned();
                        let decided = ours.acquire(call);
                        async { within(&decided.await.expect("an answer")) }
                    };
                    one_by_one(CALLS, call).await
                })
            },
            &mut || {
                let theirs = theirs.clone();
                bench.block_on(async move {
                    let call = |number: usize| {
                        let window = Duration::from_secs(3_600);
                        let asked = theirs.ask(number % 100, PLENTY, window);
                        async { assert!(asked.await, "there is plenty") }
                    };
                    one_by_one(CALLS, call).await
                })
            },
        ],
    );
    let what = "one limit in Redis; a sliding window in a script by hand";
    Ok(Row::of(what, &rounds, Bound::AtMost(1.3)))
}

/// As a layer that finds the client in a header.
pub(crate) fn tower_governor(bench: &Bench) -> Result<Row, String> {
    let limit = Limit::smooth(PLENTY, Duration::from_secs(3_600), PLENTY);
    let echo =
        service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut ours = RateLimitLayer::new(LocalLimiter::new(), [limit])
        .by(|head| {
            let client = head.headers.get("client")?.to_str().ok()?;
            Some(client.to_owned())
        })
        .layer(echo);
    let mut theirs = governed().layer(echo);
    let mut bare = echo;
    let rounds = Rounds::run(
        bench.rounds(200),
        [&mut || time(bench, &mut bare), &mut || time(bench, &mut ours), &mut || {
            time(bench, &mut theirs)
        }],
    );
    let what = "the layer of limits, one for each of 1000 clients; tower_governor's";
    Ok(Row::added(what, &rounds, Bound::None))
}

/// What one call costs, none of which has to wait.
fn time<S>(bench: &Bench, service: &mut S) -> Duration
where
    S: Service<Request<String>>,
{
    let request = |number: usize| {
        let request = Request::builder().header("client", format!("client-{}", number % KEYS));
        request.body(String::new()).expect("a request")
    };
    let batch: Vec<_> = (0..1_024).map(request).collect();
    let count = u32::try_from(batch.len()).expect("a count");
    let mut context = Context::from_waker(Waker::noop());
    bench.time(|| {
        for request in batch {
            assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
            assert!(matches!(pin!(service.call(request)).poll(&mut context), Poll::Ready(Ok(_))));
        }
    }) / count
}
