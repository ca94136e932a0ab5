//! Both clients, with one server and with a cluster.

mod deadpool {
    use keyauth_core::Background;
    use keyauth_ratelimit::FleetLimiter;
    use keyauth_redis::{RedisCache, RedisHints, RedisLimits};
    use keyauth_testkit::RedisKeyspace;

    use crate::world::{deadpool, fleet, hints_over_clients, in_keyspace};

    async fn cache() -> (RedisCache, ()) {
        let space = RedisKeyspace::create().await;
        (RedisCache::new(&in_keyspace(deadpool(space.url()), &space)), ())
    }

    async fn hints() -> ((RedisHints, RedisHints), ()) {
        let space = RedisKeyspace::create().await;
        let redis = in_keyspace(deadpool(space.url()), &space);
        (hints_over_clients(&redis, &[space.url().to_owned()]), ())
    }

    async fn limiter() -> (FleetLimiter<RedisLimits>, (RedisKeyspace, Background)) {
        let space = RedisKeyspace::create().await;
        let (limiter, background) = fleet(&in_keyspace(deadpool(space.url()), &space));
        (limiter, (space, background))
    }

    keyauth_testkit::shared_cache_conformance!(cache);
    keyauth_testkit::hints_conformance!(hints);
    keyauth_testkit::limiter_conformance!(limiter);
}

mod deadpool_cluster {
    use keyauth_core::Background;
    use keyauth_ratelimit::FleetLimiter;
    use keyauth_redis::{RedisCache, RedisHints, RedisLimits};
    use keyauth_testkit::RedisServers;

    use crate::world::{PATIENT, deadpool_cluster, fleet, hints_over_clients};

    async fn cache() -> (RedisCache, RedisServers) {
        let servers = RedisServers::start_cluster().await;
        (RedisCache::new(&deadpool_cluster(&servers).with_timeout(PATIENT)), servers)
    }

    async fn hints() -> ((RedisHints, RedisHints), RedisServers) {
        let servers = RedisServers::start_cluster().await;
        let redis = deadpool_cluster(&servers).with_timeout(PATIENT);
        (hints_over_clients(&redis, &servers.urls()), servers)
    }

    async fn limiter() -> (FleetLimiter<RedisLimits>, (RedisServers, Background)) {
        let servers = RedisServers::start_cluster().await;
        let (limiter, background) = fleet(&deadpool_cluster(&servers).with_timeout(PATIENT));
        (limiter, (servers, background))
    }

    keyauth_testkit::shared_cache_conformance!(cache);
    keyauth_testkit::hints_conformance!(hints);
    keyauth_testkit::limiter_conformance!(limiter);
}

mod fred {
    use keyauth_core::Background;
    use keyauth_ratelimit::FleetLimiter;
    use keyauth_redis::{Redis, RedisCache, RedisHints, RedisLimits};
    use keyauth_testkit::RedisKeyspace;

    use crate::world::{fleet, fred, hints_over_fred, in_keyspace};

    async fn cache() -> (RedisCache, ()) {
        let space = RedisKeyspace::create().await;
        let redis = Redis::from(fred(space.url()).await);
        (RedisCache::new(&in_keyspace(redis, &space)), ())
    }

    async fn hints() -> ((RedisHints, RedisHints), ()) {
        let space = RedisKeyspace::create().await;
        let client = fred(space.url()).await;
        let redis = in_keyspace(Redis::from(client.clone()), &space);
        (hints_over_fred(&redis, &client), ())
    }

    async fn limiter() -> (FleetLimiter<RedisLimits>, (RedisKeyspace, Background)) {
        let space = RedisKeyspace::create().await;
        let redis = Redis::from(fred(space.url()).await);
        let (limiter, background) = fleet(&in_keyspace(redis, &space));
        (limiter, (space, background))
    }

    keyauth_testkit::shared_cache_conformance!(cache);
    keyauth_testkit::hints_conformance!(hints);
    keyauth_testkit::limiter_conformance!(limiter);
}

mod fred_cluster {
    use keyauth_core::Background;
    use keyauth_ratelimit::FleetLimiter;
    use keyauth_redis::{Redis, RedisCache, RedisHints, RedisLimits};
    use keyauth_testkit::RedisServers;

    use crate::world::{PATIENT, fleet, fred_cluster, hints_over_fred};

    async fn cache() -> (RedisCache, RedisServers) {
        let servers = RedisServers::start_cluster().await;
        let redis = Redis::from(fred_cluster(&servers).await).with_timeout(PATIENT);
        (RedisCache::new(&redis), servers)
    }

    async fn hints() -> ((RedisHints, RedisHints), RedisServers) {
        let servers = RedisServers::start_cluster().await;
        let client = fred_cluster(&servers).await;
        let redis = Redis::from(client.clone()).with_timeout(PATIENT);
        (hints_over_fred(&redis, &client), servers)
    }

    async fn limiter() -> (FleetLimiter<RedisLimits>, (RedisServers, Background)) {
        let servers = RedisServers::start_cluster().await;
        let redis = Redis::from(fred_cluster(&servers).await).with_timeout(PATIENT);
        let (limiter, background) = fleet(&redis);
        (limiter, (servers, background))
    }

    keyauth_testkit::shared_cache_conformance!(cache);
    keyauth_testkit::hints_conformance!(hints);
    keyauth_testkit::limiter_conformance!(limiter);
}

/// Limits that are taken ahead.
mod leased {
    mod deadpool {
        use keyauth_core::Background;
        use keyauth_ratelimit::FleetLimiter;
        use keyauth_redis::RedisLimits;
        use keyauth_testkit::RedisKeyspace;

        use crate::world::{deadpool, in_keyspace, leased};

        async fn limiter() -> (FleetLimiter<RedisLimits>, (RedisKeyspace, Background)) {
            let space = RedisKeyspace::create().await;
            let (limiter, background) = leased(&in_keyspace(deadpool(space.url()), &space), 1);
            (limiter, (space, background))
        }

        keyauth_testkit::limiter_conformance!(limiter);
    }

    mod fred_cluster {
        use keyauth_core::Background;
        use keyauth_ratelimit::FleetLimiter;
        use keyauth_redis::{Redis, RedisLimits};
        use keyauth_testkit::RedisServers;

        use crate::world::{PATIENT, fred_cluster, leased};

        async fn limiter() -> (FleetLimiter<RedisLimits>, (RedisServers, Background)) {
            let servers = RedisServers::start_cluster().await;
            let redis = Redis::from(fred_cluster(&servers).await).with_timeout(PATIENT);
            let (limiter, background) = leased(&redis, 1);
            (limiter, (servers, background))
        }

        keyauth_testkit::limiter_conformance!(limiter);
    }
}
