//! The way to Redis: what is asked of a client, whichever it is.

#[cfg(feature = "deadpool")]
mod deadpool;
#[cfg(feature = "fred")]
mod fred;

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::pin::Pin;
use std::time::Duration;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A client. Each call is bounded by whoever makes it, who drops it then. A client may send it
/// again where it follows a cluster, so a command must do no harm when it is done twice.
pub(crate) trait Link: Debug + Send + Sync {
    /// Sends one command and waits for its answer, which nobody wants after `patience`.
    fn call<'a>(
        &'a self,
        command: Command<'a>,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Leaves behind a connection that gives no answers, where that is the client's to do.
    fn renew(&self) -> BoxFuture<'_, ()>;
}

/// A client that can subscribe.
pub(crate) trait Subscribe: Send + Sync {
    /// Subscribes to a channel on a connection of its own.
    fn subscribe<'a>(
        &'a self,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Box<dyn Subscription>, BoxError>>;
}

/// A connection that listens. It does not mend itself.
pub(crate) trait Subscription: Send {
    /// Waits for a message; there is none where the connection is lost. May be dropped at any
    /// await.
    fn next(&mut self) -> BoxFuture<'_, Option<()>>;

    /// Asks the server for a sign of life.
    fn ping(&mut self) -> BoxFuture<'_, Result<(), BoxError>>;
}

/// A command. In a cluster it goes to the server that has `key`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command<'a> {
    pub(crate) name: &'static str,
    pub(crate) key: &'a [u8],
    pub(crate) arguments: &'a [&'a [u8]],
}

/// What Redis says to a command, as far as anybody here wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nil,
    Bytes(Vec<u8>),
    Other,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server does not know the script by its name.
    NoScript,
    /// The server has refused: it is there.
    Refused(BoxError),
    /// Nobody has answered.
    Away(BoxError),
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScript => f.write_str("Redis has forgotten a script, and does not take it"),
            Self::Refused(error) => write!(f, "Redis has refused: {error}"),
            Self::Away(error) => write!(f, "Redis does not answer: {error}"),
        }
    }
}

impl Error for Failure {}
