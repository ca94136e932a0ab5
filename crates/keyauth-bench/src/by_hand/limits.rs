//! Limits: `tower_governor` for one process, and a script for a fleet.

use std::time::Duration;

use axum::body::Body;
use governor::clock::QuantaInstant;
use governor::middleware::NoOpMiddleware;
use http::Request;
use keyauth_redis::deadpool_redis;
use keyauth_redis::deadpool_redis::redis::Cmd;
use keyauth_redis::deadpool_redis::redis::aio::MultiplexedConnection;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

/// A sliding window of two counters, as gateways count: the last window's, weighted by how much of
/// it is still in sight, and the current one's.
///
/// Fair in that it asks by Redis's clock, in one script by its hash, one round trip on a connection
/// out of the pool, which would ask the server before each use whether it is there. Its bound is
/// looser than ours: calls that came at the end of the last window are weighted as if they had
/// come evenly.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = math.floor(now / window)
local counts = redis.call('HMGET', KEYS[1], 'at', 'current', 'last')
local seen, current, last = tonumber(counts[1]), tonumber(counts[2]) or 0, tonumber(counts[3]) or 0
if seen ~= at then
    last = (seen == at - 1) and current or 0
    current = 0
end
local weight = 1 - (now - at * window) / window
if last * weight + current + 1 > limit then
    return 0
end
redis.call('HSET', KEYS[1], 'at', at, 'current', current + 1, 'last', last)
redis.call('PEXPIRE', KEYS[1], window * 2)
return 1
";

/// Asks Redis with it.
#[derive(Clone)]
pub(crate) struct SlidingWindow {
    connection: MultiplexedConnection,
    hash: String,
}

impl SlidingWindow {
    pub(crate) async fn new(pool: deadpool_redis::Pool) -> Self {
        let connection = pool.get().await.expect("a connection");
        let mut connection = deadpool_redis::Connection::take(connection);
        let mut load = Cmd::new();
        load.arg("SCRIPT").arg("LOAD").arg(SCRIPT);
        let hash = load.query_async(&mut connection).await.expect("a hash");
        Self { connection, hash }
    }

    /// Whether a call of somebody is within the limit, and counts it if so.
    pub(crate) fn ask(
        &self,
        client: usize,
        limit: u64,
        window: Duration,
    ) -> impl Future<Output = bool> + Send + use<> {
        let Self { mut connection, hash } = self.clone();
        async move {
            let mut ask = Cmd::new();
            ask.arg("EVALSHA").arg(hash).arg(1).arg(format!("limit:{client}"));
            ask.arg(u64::try_from(window.as_millis()).expect("a time")).arg(limit);
            let within: u8 = ask.query_async(&mut connection).await.expect("an answer");
            within == 1
        }
    }
}

/// Where `tower_governor` finds the client.
#[derive(Clone, Debug)]
pub(crate) struct InHeader;

impl KeyExtractor for InHeader {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let client = request.headers().get("client").and_then(|value| value.to_str().ok());
        client.map(str::to_owned).ok_or(GovernorError::UnableToExtractKey)
    }
}

/// One limit for each client, which nobody reaches.
pub(crate) fn governed() -> GovernorLayer<InHeader, NoOpMiddleware<QuantaInstant>, Body> {
    let mut config = GovernorConfigBuilder::default().key_extractor(InHeader);
    let config: Option<GovernorConfig<_, _>> =
        config.period(Duration::from_nanos(1)).burst_size(u32::MAX).finish();
    GovernorLayer::new(config.expect("a quota"))
}
