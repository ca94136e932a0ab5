//! Redis, as everything of this crate asks it.

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyauth_core::LookupError;
use tokio::time::{sleep, timeout};

use crate::breaker::Breaker;
use crate::link::{Answer, Command, Failure, Link};
use crate::script::Script;

/// How long a request waits for Redis.
const TIMEOUT: Duration = Duration::from_millis(50);
/// Shorter than whoever asks waits for an answer, or nobody would notice that there was none.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// What names begin with.
const PREFIX: &str = "keyauth";
const LONGEST_PREFIX: usize = 64;
/// How long after it went away it is first looked for, and how often at the least.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(2);
/// How long connecting may take, which no request waits for.
const RENEW_TIMEOUT: Duration = Duration::from_secs(3);

/// A Redis or Valkey, one server or a cluster, behind a client of the application's.
///
/// Make one and clone it: clones notice together that it is away, and that it is back. While it
/// is away nobody waits for it; it is looked for in the background.
#[derive(Clone)]
pub struct Redis {
    link: Arc<dyn Link>,
    shared: Arc<Shared>,
    prefix: Arc<str>,
    timeout: Duration,
}

/// What clones have in common.
#[derive(Debug, Default)]
struct Shared {
    breaker: Breaker,
    /// Whether somebody is looking for it.
    sought: AtomicBool,
}

impl Redis {
    pub(crate) fn over(link: impl Link + 'static) -> Self {
        Self {
            link: Arc::new(link),
            shared: Arc::default(),
            prefix: PREFIX.into(),
            timeout: TIMEOUT,
        }
    }

    /// Begins all names with another prefix than `keyauth`, as where applications share a Redis.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix`]: it takes 1 to 64 visible ASCII characters, and no braces, which would
    /// put everything on one server of a cluster.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, InvalidPrefix> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(allowed) {
            return Err(InvalidPrefix(()));
        }
        Ok(Self { prefix: prefix.into(), ..self })
    }

    /// How long a request waits for Redis before it goes on without; 50 ms by default, and a
    /// second at most.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.min(LONGEST_TIMEOUT), ..self }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Sends a command, unless Redis is away.
    pub(crate) async fn call(&self, command: Command<'_>) -> Result<Answer, LookupError> {
        self.bounded(command.key, self.link.call(command, self.timeout)).await
    }

    /// Runs a script on keys, of which there is one, and which are all on one server.
    pub(crate) async fn eval(
        &self,
        script: Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Result<Answer, LookupError> {
        let count = keys.len().to_string();
        let key = keys.first().copied().unwrap_or_default();
        let with = |script: &'static str| {
            let before = [script.as_bytes(), count.as_bytes()];
            [before.as_slice(), keys, arguments].concat()
        };
        let running = async {
            let by_name = with(script.sha1);
            let call = Command { name: "EVALSHA", key, arguments: &by_name };
            match self.link.call(call, self.timeout).await {
                // After a restart, a failover or `SCRIPT FLUSH`. This one server learns it anew.
                Err(Failure::NoScript) => {
                    let in_full = with(script.text);
                    let call = Command { name: "EVAL", key, arguments: &in_full };
                    self.link.call(call, self.timeout).await
                }
                answer => answer,
            }
        };
        self.bounded(key, running).await
    }

    async fn bounded(
        &self,
        key: &[u8],
        call: impl Future<Output = Result<Answer, Failure>>,
    ) -> Result<Answer, LookupError> {
        if self.shared.breaker.is_open() {
            self.seek(key);
            return Err(LookupError::unavailable("Redis is away"));
        }
        let late = || Failure::Away("no answer in time".into());
        let answer = timeout(self.timeout, call).await.unwrap_or_else(|_| Err(late()));
        match &answer {
            Err(failure @ Failure::Away(_)) => {
                if self.shared.breaker.failed() {
                    tracing::warn!(%failure, "Redis is away; nothing waits for it until it is back");
                    self.seek(key);
                }
            }
            Ok(_) | Err(Failure::NoScript | Failure::Refused(_)) => self.shared.breaker.succeeded(),
        }
        answer.map_err(LookupError::unavailable)
    }

    /// Looks for Redis in the background, unless somebody does: with the key whose server gave
    /// no answer.
    fn seek(&self, key: &[u8]) {
        if self.shared.sought.swap(true, Ordering::AcqRel) {
            return;
        }
        let seeking = Seeking(Arc::downgrade(&self.shared));
        let (link, key, timeout) = (Arc::downgrade(&self.link), key.to_vec(), self.timeout);
        tokio::spawn(async move { seeking.until_found(link, &key, timeout).await });
    }
}

/// Somebody who looks for Redis. Where it ends early, as with its runtime, another one begins.
struct Seeking(Weak<Shared>);

impl Seeking {
    async fn until_found(self, link: Weak<dyn Link>, key: &[u8], patience: Duration) {
        let mut pause = FIRST_LOOK;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(SELDOM);
            let Some(link) = link.upgrade() else { return };
            let arguments = [key];
            let look = Command { name: "GET", key, arguments: &arguments };
            let look = link.call(look, patience);
            // Any answer will do.
            if let Ok(Ok(_) | Err(Failure::Refused(_))) = timeout(patience, look).await {
                let shared = self.0.upgrade();
                // First: whoever finds it away again the next moment must be able to seek.
                drop(self);
                if let Some(shared) = shared {
                    shared.breaker.close();
                }
                tracing::info!("Redis is back");
                return;
            }
            let _ = timeout(RENEW_TIMEOUT, link.renew()).await;
        }
    }
}

impl Drop for Seeking {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.sought.store(false, Ordering::Release);
        }
    }
}

impl Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A prefix that names cannot begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPrefix(());

impl Display for InvalidPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a prefix of names in Redis takes 1 to {LONGEST_PREFIX} visible ASCII characters, and \
             no braces"
        )
    }
}

impl Error for InvalidPrefix {}
