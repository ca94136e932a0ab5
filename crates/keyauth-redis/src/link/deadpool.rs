//! Over pools of deadpool-redis.
//!
//! A pool asks each connection whether it is alive before it gives it away, which doubles the
//! time that a call takes, and in a cluster it asks all servers. So one connection is taken out
//! and used by all calls at once, and the pool makes another where that one gives no answers.

use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::{ConnectionLike, MultiplexedConnection, PubSubSink, PubSubStream};
use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::redis::{Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use deadpool_redis::{Connection, Pool, cluster};
use futures_util::StreamExt;
use tokio::sync::OnceCell;

use super::{Answer, BoxError, BoxFuture, Command, Failure, Link, Subscribe, Subscription};
use crate::hints::RedisHints;
use crate::redis::Redis;

impl From<Pool> for Redis {
    /// One connection is taken out of the pool, which may make another in its place, and used by
    /// all calls at once. A pool that has none to give counts as a Redis that is away.
    fn from(pool: Pool) -> Self {
        Self::over(Taken { source: pool, held: Mutex::default() })
    }
}

impl From<cluster::Pool> for Redis {
    /// One connection is taken out of the pool, which may make another in its place, and used by
    /// all calls at once. A pool that has none to give counts as a Redis that is away.
    fn from(pool: cluster::Pool) -> Self {
        Self::over(Taken { source: pool, held: Mutex::default() })
    }
}

impl RedisHints {
    /// Hints over a Redis behind a pool of deadpool-redis. A pool cannot subscribe, so it takes
    /// a client, or several servers of a cluster, each of which hears all that is published.
    pub fn over_clients(redis: &Redis, clients: impl IntoIterator<Item = Client>) -> Self {
        let clients = clients.into_iter().collect();
        Self::over(redis, Clients { clients, next: AtomicUsize::new(0) })
    }
}

struct Clients {
    clients: Vec<Client>,
    next: AtomicUsize,
}

impl Subscribe for Clients {
    fn subscribe<'a>(
        &'a self,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Box<dyn Subscription>, BoxError>> {
        Box::pin(async move {
            // Each time another one: the last may be the one that is away.
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let client = next.checked_rem(self.clients.len()).and_then(|at| self.clients.get(at));
            let client = client.ok_or("no client to subscribe with")?;
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(channel).await?;
            Ok(Box::new(Subscribed { sink, stream }) as Box<dyn Subscription>)
        })
    }
}

struct Subscribed {
    sink: PubSubSink,
    stream: PubSubStream,
}

impl Subscription for Subscribed {
    fn next(&mut self) -> BoxFuture<'_, Option<()>> {
        Box::pin(async { self.stream.next().await.map(drop) })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async { Ok(self.sink.ping::<Value>().await.map(drop)?) })
    }
}

/// A pool that connections can be taken out of.
trait Source: Send + Sync + 'static {
    type Connection: ConnectionLike + Clone + Send + Sync + 'static;

    fn take(&self) -> impl Future<Output = Result<Self::Connection, BoxError>> + Send;
}

impl Source for Pool {
    type Connection = MultiplexedConnection;

    async fn take(&self) -> Result<MultiplexedConnection, BoxError> {
        Ok(Connection::take(self.get().await?))
    }
}

impl Source for cluster::Pool {
    type Connection = ClusterConnection;

    async fn take(&self) -> Result<ClusterConnection, BoxError> {
        Ok(cluster::Connection::take(self.get().await?))
    }
}

/// The connection in use, of which there is none before the first call.
type Held<C> = Arc<OnceCell<C>>;

struct Taken<S: Source> {
    source: S,
    held: Mutex<Held<S::Connection>>,
}

impl<S: Source> Taken<S> {
    fn held(&self) -> MutexGuard<'_, Held<S::Connection>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, command: Command<'_>) -> Result<Answer, Failure> {
        let held = Arc::clone(&self.held());
        let connection = held.get_or_try_init(|| self.source.take()).await;
        let mut connection = connection.map_err(Failure::Away)?.clone();
        let mut packed = Cmd::with_capacity(1 + command.arguments.len(), 0);
        packed.arg(command.name);
        for argument in command.arguments {
            packed.arg(argument);
        }
        match packed.query_async(&mut connection).await {
            Ok(Value::Nil) => Ok(Answer::Nil),
            Ok(Value::BulkString(bytes)) => Ok(Answer::Bytes(bytes)),
            Ok(_) => Ok(Answer::Other),
            Err(error) => {
                // A server that may not write has become a replica: another connection may lead
                // to the one that took its place.
                let demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
                let failure = failure(error);
                if demoted || matches!(failure, Failure::Away(_)) {
                    self.leave(&held);
                }
                Err(failure)
            }
        }
    }

    /// Has the next call connect anew, unless another one has seen to that.
    fn leave(&self, broken: &Held<S::Connection>) {
        let mut held = self.held();
        if Arc::ptr_eq(&held, broken) {
            *held = Held::default();
        }
    }
}

fn failure(error: RedisError) -> Failure {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoScript) => Failure::NoScript,
        ErrorKind::Server(_) | ErrorKind::Extension => Failure::Refused(error.into()),
        _ => Failure::Away(error.into()),
    }
}

impl<S: Source> Link for Taken<S> {
    fn call<'a>(
        &'a self,
        command: Command<'a>,
        _: Duration,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.send(command))
    }

    fn renew(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The old one stays where there is no other: it may be the only one that still
            // reaches most servers of a cluster.
            if let Ok(connection) = self.source.take().await {
                *self.held() = Arc::new(OnceCell::new_with(Some(connection)));
            }
        })
    }
}

impl<S: Source> Debug for Taken<S> {
    // By hand, because pools know a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").finish_non_exhaustive()
    }
}
