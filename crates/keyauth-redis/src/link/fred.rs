//! Over clients and pools of fred.

use std::fmt::{self, Debug};
use std::time::Duration;

use fred::clients::{Client, Pool, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::Options;
use fred::types::{Builder, ClusterHash, ConnectHandle, CustomCommand, Message, Value};
use fred::util::redis_keyslot;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{Answer, BoxError, BoxFuture, Command, Failure, Link, Subscribe, Subscription};
use crate::hints::RedisHints;
use crate::redis::Redis;

impl From<Client> for Redis {
    /// The client must have been told to connect. Give it a reconnect policy, or it is of no more
    /// use after its first lost connection; and `fail_fast: false`, with `connect` rather than
    /// `init`, where Redis may be down when the application starts. Where it gives no answers for
    /// a while, it is told to reconnect.
    fn from(client: Client) -> Self {
        Self::over(Fred(client))
    }
}

impl From<Pool> for Redis {
    /// One client of the pool is used, by all calls at once. The pool must have been initialised.
    /// Give it a reconnect policy, or its clients are of no more use after their first lost
    /// connection.
    fn from(pool: Pool) -> Self {
        Self::from(pool.next_connected().clone())
    }
}

/// How long a server may take to give a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

struct Fred(Client);

impl Link for Fred {
    fn call<'a>(
        &'a self,
        command: Command<'a>,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            // A command that is given up from outside is sent all the same, and again after a
            // reconnect; one that fred itself gives up is not. So it is to be the first to do so.
            let options = Options {
                timeout: Some(patience - patience / 10),
                fail_fast: true,
                ..Options::default()
            };
            // Not by the methods for scripts, which take no options.
            let slot = ClusterHash::Custom(redis_keyslot(command.key));
            let custom = CustomCommand::new_static(command.name, slot, false);
            let arguments = command.arguments.iter().map(|argument| Value::from(*argument));
            let client = self.0.with_options(&options);
            match client.custom::<Value, Value>(custom, arguments.collect()).await {
                Ok(Value::Null) => Ok(Answer::Nil),
                Ok(Value::Bytes(bytes)) => Ok(Answer::Bytes(bytes.to_vec())),
                Ok(Value::String(text)) => Ok(Answer::Bytes(text.as_bytes().to_vec())),
                Ok(_) => Ok(Answer::Other),
                Err(error) => Err(failure(error)),
            }
        })
    }

    fn renew(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // One that is connecting is not helped by being told to, and one without a policy
            // would end.
            if self.0.is_connected() && self.0.has_reconnect_policy() {
                let _ = self.0.force_reconnection().await;
            }
        })
    }
}

impl RedisHints {
    /// Hints over a Redis behind fred. It subscribes by a client of its own, configured like the
    /// one it is given.
    #[must_use]
    pub fn over_fred(redis: &Redis, client: &Client) -> Self {
        Self::over(redis, Subscriber(client.clone()))
    }
}

struct Subscriber(Client);

impl Subscribe for Subscriber {
    fn subscribe<'a>(
        &'a self,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Box<dyn Subscription>, BoxError>> {
        Box::pin(async move {
            let mut config = self.0.client_config();
            config.fail_fast = true;
            // Without a policy to reconnect by: subscriptions would not come along, and that one
            // is lost is to be noticed here.
            let mut builder = Builder::from_config(config);
            builder.set_connection_config(self.0.connection_config().clone());
            builder.set_performance_config(self.0.perf_config());
            let client = builder.build_subscriber_client()?;
            let subscribed =
                Subscribed { connection: client.connect(), messages: client.message_rx(), client };
            subscribed.client.wait_for_connect().await?;
            // That it is done is said when the command was written; the ping is answered after it.
            subscribed.client.subscribe(channel).await?;
            subscribed.ask().await?;
            Ok(Box::new(subscribed) as Box<dyn Subscription>)
        })
    }
}

struct Subscribed {
    client: SubscriberClient,
    /// Ends when the connection does.
    connection: ConnectHandle,
    messages: Receiver<Message>,
}

impl Subscribed {
    async fn ask(&self) -> Result<(), BoxError> {
        let options = Options {
            timeout: Some(PING_TIMEOUT),
            fail_fast: true,
            // The server that it subscribes to.
            cluster_hash: Some(ClusterHash::Custom(redis_keyslot(self.client.id().as_bytes()))),
            ..Options::default()
        };
        Ok(self.client.with_options(&options).ping::<Value>(None).await.map(drop)?)
    }
}

impl Subscription for Subscribed {
    fn next(&mut self) -> BoxFuture<'_, Option<()>> {
        Box::pin(async {
            tokio::select! {
                message = self.messages.recv() => match message {
                    Ok(_) | Err(RecvError::Lagged(_)) => Some(()),
                    Err(RecvError::Closed) => None,
                },
                _ = &mut self.connection => None,
            }
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(self.ask())
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn failure(error: Error) -> Failure {
    if error.details().starts_with("NOSCRIPT") {
        return Failure::NoScript;
    }
    match error.kind() {
        // What a server says is of an unknown kind, but for what fred makes something of.
        ErrorKind::Unknown
        | ErrorKind::Auth
        | ErrorKind::InvalidCommand
        | ErrorKind::InvalidArgument
        | ErrorKind::Cluster
        | ErrorKind::NotFound => Failure::Refused(error.into()),
        _ => Failure::Away(error.into()),
    }
}

impl Debug for Fred {
    // By hand, because clients know a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fred").finish_non_exhaustive()
    }
}
