//! Clients as an application has them.

use std::time::Duration;

use keyauth_core::{Background, Limiter};
use keyauth_ratelimit::{FleetLimiter, WhenAway};
use keyauth_redis::deadpool_redis::redis::Client as RedisClient;
use keyauth_redis::deadpool_redis::{self, cluster};
use keyauth_redis::fred::clients::Client as FredClient;
use keyauth_redis::fred::interfaces::ClientLike;
use keyauth_redis::fred::types::Builder;
use keyauth_redis::fred::types::config::{Config, ReconnectPolicy, ServerConfig};
use keyauth_redis::{Redis, RedisHints, RedisLimits};
use keyauth_testkit::{RedisKeyspace, RedisServers};

/// Long enough for a machine that does a hundred other things.
pub(crate) const PATIENT: Duration = Duration::from_secs(1);

pub(crate) fn deadpool(url: &str) -> Redis {
    let pool = deadpool_redis::Config::from_url(url);
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).expect("a pool");
    Redis::from(pool)
}

pub(crate) fn deadpool_cluster(servers: &RedisServers) -> Redis {
    deadpool_cluster_at(servers.urls())
}

pub(crate) fn deadpool_cluster_at(urls: Vec<String>) -> Redis {
    let pool = cluster::Config::from_urls(urls);
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).expect("a pool");
    Redis::from(pool)
}

pub(crate) async fn fred(url: &str) -> FredClient {
    start_fred(Config::from_url(url).expect("a URL")).await
}

pub(crate) async fn fred_cluster(servers: &RedisServers) -> FredClient {
    start_fred(Config { server: fred_servers(servers), ..Config::default() }).await
}

pub(crate) async fn fred_cluster_as(servers: &RedisServers, user: &str, word: &str) -> FredClient {
    let (username, password) = (Some(user.to_owned()), Some(word.to_owned()));
    let server = fred_servers(servers);
    start_fred(Config { server, username, password, ..Config::default() }).await
}

fn fred_servers(servers: &RedisServers) -> ServerConfig {
    let hosts = servers.urls().into_iter().map(|url| {
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        ("127.0.0.1".to_owned(), port.expect("a port"))
    });
    ServerConfig::new_clustered(hosts.collect())
}

/// One that is told to connect, and connects when there is a server.
pub(crate) fn fred_connecting(url: &str) -> FredClient {
    let config = Config::from_url(url).expect("a URL");
    let client = build_fred(Config { fail_fast: false, ..config });
    // It ends with the client.
    drop(client.connect());
    client
}

fn build_fred(config: Config) -> FredClient {
    let mut builder = Builder::from_config(config);
    builder.set_policy(ReconnectPolicy::new_constant(0, 100));
    builder.build().expect("a client")
}

async fn start_fred(config: Config) -> FredClient {
    let client = build_fred(config);
    client.init().await.expect("a server");
    client
}

pub(crate) fn clients(urls: &[String]) -> Vec<RedisClient> {
    urls.iter().map(|url| RedisClient::open(url.as_str()).expect("a URL")).collect()
}

/// For tests that share the run's server.
pub(crate) fn in_keyspace(redis: Redis, space: &RedisKeyspace) -> Redis {
    redis.with_prefix(space.prefix()).expect("a prefix").with_timeout(PATIENT)
}

pub(crate) fn hints_over_clients(redis: &Redis, urls: &[String]) -> (RedisHints, RedisHints) {
    let hints = || RedisHints::over_clients(redis, clients(urls));
    (hints(), hints())
}

pub(crate) fn hints_over_fred(redis: &Redis, client: &FredClient) -> (RedisHints, RedisHints) {
    let hints = || RedisHints::over_fred(redis, client);
    (hints(), hints())
}

/// The limiter of one instance, which says nothing where Redis does not.
pub(crate) fn fleet(redis: &Redis) -> (FleetLimiter<RedisLimits>, Background) {
    let limiter = FleetLimiter::new(RedisLimits::new(redis)).when_away(WhenAway::Closed);
    let background = limiter.start();
    (limiter, background)
}

/// The same, which takes ahead, as one of so many.
pub(crate) fn leased(redis: &Redis, instances: u64) -> (FleetLimiter<RedisLimits>, Background) {
    let limiter = FleetLimiter::new(RedisLimits::new(redis)).when_away(WhenAway::Closed);
    let limiter = limiter.with_instances(instances).leased();
    let background = limiter.start();
    (limiter, background)
}
