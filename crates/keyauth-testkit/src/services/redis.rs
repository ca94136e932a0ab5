//! A Redis key space of a test's own.

use super::{Service, url};

/// A prefix for names on the run's Redis server that no other test uses.
///
/// Redis has no spaces that could be dropped: on a server of your own, named by a URL, what
/// tests write stays until it expires.
#[derive(Clone, Debug)]
pub struct RedisKeyspace {
    url: String,
    prefix: String,
}

impl RedisKeyspace {
    /// Makes up a prefix, starting the server where this is the run's first.
    ///
    /// # Panics
    ///
    /// Where there is no server and none can be started, saying what to install.
    pub async fn create() -> Self {
        let prefix = format!("keyauth-test:{}:", uuid::Uuid::new_v4().simple());
        Self { url: url(Service::Redis).await, prefix }
    }

    /// How to connect to the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What every name of the test must begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}
