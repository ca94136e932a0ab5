//! Both clients, with one server and with a cluster.

mod deadpool {
    use keyauth_redis::{RedisCache, RedisHints};
    use keyauth_testkit::RedisKeyspace;

    use crate::world::{deadpool, hints_over_clients, in_keyspace};

    async fn cache() -> (RedisCache, ()) {
        let space = RedisKeyspace::create().await;
        (RedisCache::new(&in_keyspace(deadpool(space.url()), &space)), ())
    }

    async fn hints() -> ((RedisHints, RedisHints), ()) {
        let space = RedisKeyspace::create().await;
        let redis = in_keyspace(deadpool(space.url()), &space);
        (hints_over_clients(&redis, &[space.url().to_owned()]), ())
    }

    keyauth_testkit::shared_cache_conformance!(cache);
    keyauth_testkit::hints_conformance!(hints);
}

mod deadpool_cluster {
    use keyauth_redis::{RedisCache, RedisHints};
    use keyauth_testkit::RedisServers;

    use crate::world::{PATIENT, deadpool_cluster, hints_over_clients};

    async fn cache() -> (RedisCache, RedisServers) {
        let servers = RedisServers::start_cluster().await;
        (RedisCache::new(&deadpool_cluster(&servers).with_timeout(PATIENT)), servers)
    }

    async fn hints() -> ((RedisHints, RedisHints), RedisServers) {
        let servers = RedisServers::start_cluster().await;
        let redis = deadpool_cluster(&servers).with_timeout(PATIENT);
        (hints_over_clients(&redis, &servers.urls()), servers)
    }

    keyauth_testkit::shared_cache_conformance!(cache);
    keyauth_testkit::hints_conformance!(hints);
}

mod fred {
    use keyauth_redis::{Redis, RedisCache, RedisHints};
    use keyauth_testkit::RedisKeyspace;

    use crate::world::{fred, hints_over_fred, in_keyspace};

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

    keyauth_testkit::shared_cache_conformance!(cache);
    keyauth_testkit::hints_conformance!(hints);
}

mod fred_cluster {
    use keyauth_redis::{Redis, RedisCache, RedisHints};
    use keyauth_testkit::RedisServers;

    use crate::world::{PATIENT, fred_cluster, hints_over_fred};

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

    keyauth_testkit::shared_cache_conformance!(cache);
    keyauth_testkit::hints_conformance!(hints);
}
