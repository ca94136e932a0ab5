//! Real servers for tests, one of a kind for a whole test run.
//!
//! Where from, the first that is there:
//!
//! 1. the URL in `KEYAUTH_TEST_POSTGRES_URL` or `KEYAUTH_TEST_REDIS_URL`;
//! 2. a container, from the image in `KEYAUTH_TEST_POSTGRES_IMAGE` or
//!    `KEYAUTH_TEST_REDIS_IMAGE`, else from the official one;
//! 3. the machine's own `postgres` or `redis-server`, on a free port.
//!
//! A run is the process that `KEYAUTH_TEST_RUN` names, else the parent of the test binary:
//! `cargo`. Its test binaries share the servers, which end with it.

mod docker;
mod local;
mod postgres;
mod proxy;
mod redis;
mod redis_servers;
mod run;
mod server;

pub use postgres::PostgresDatabase;
pub use proxy::{FaultProxy, Flow, Way};
pub use redis::RedisKeyspace;
pub use redis_servers::{RedisServers, fake_time_library};
pub use server::{PostgresServer, SmallDisk};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Postgres,
    Redis,
}

impl Service {
    /// In names of files and containers.
    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }

    /// The variable that names a running server.
    const fn url_variable(self) -> &'static str {
        match self {
            Self::Postgres => "KEYAUTH_TEST_POSTGRES_URL",
            Self::Redis => "KEYAUTH_TEST_REDIS_URL",
        }
    }

    /// The variable that names an image, and the image otherwise; `tests/run` has them too.
    const fn image(self) -> (&'static str, &'static str) {
        match self {
            Self::Postgres => ("KEYAUTH_TEST_POSTGRES_IMAGE", "postgres:15"),
            Self::Redis => ("KEYAUTH_TEST_REDIS_IMAGE", "redis:7"),
        }
    }
}

/// The value of a variable that is set, and not to nothing.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where this run's server is, starting it where no other test has.
async fn url(service: Service) -> String {
    if let Some(url) = variable(service.url_variable()) {
        return url;
    }
    run::shared(service, async || match docker::start(service).await {
        Ok(url) => url,
        Err(docker) => match local::start(service) {
            Ok(url) => url,
            Err(local) => panic!(
                "the tests need a {name} server. Docker gave none: {docker}. This machine gave \
                 none: {local}. Start Docker, install {name}, or name a server in {variable}; \
                 `tests/run` installs what is missing where it may.",
                name = service.name(),
                variable = service.url_variable(),
            ),
        },
    })
    .await
}
