//! What can be tuned, and need not be.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Clock, SystemClock, TenantId};

use crate::load::ATTEMPTS;

/// What to do while the store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outage {
    /// Go on serving what is in this process's cache for so long after the lease has ended:
    /// while the store is down, nobody can revoke either, so the risk is this instance
    /// alone being cut off from it.
    ServeCached(Duration),
    /// Refuse with `unavailable` as soon as the lease has ended.
    Strict,
}

impl Outage {
    /// How long what is cached is served beyond the lease.
    #[must_use]
    pub const fn grace(self) -> Duration {
        match self {
            Self::ServeCached(grace) => grace,
            Self::Strict => Duration::ZERO,
        }
    }
}

/// The numbers of a [`CachedLookup`](crate::CachedLookup). The defaults need no tuning.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_staleness: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) outage: Outage,
    pub(crate) strict_tenants: HashSet<TenantId>,
    pub(crate) capacity: u64,
    pub(crate) lifetime: Duration,
    pub(crate) unknown_capacity: u64,
    pub(crate) unknown_lifetime: Duration,
    pub(crate) loads: usize,
    pub(crate) waiting_loads: usize,
    pub(crate) load_deadline: Duration,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            name: instance_name(),
            clock: Arc::new(SystemClock::new()),
            max_staleness: Duration::from_secs(5),
            poll_interval: Duration::from_secs(1),
            outage: Outage::ServeCached(Duration::from_secs(60)),
            strict_tenants: HashSet::new(),
            capacity: 100_000,
            lifetime: Duration::from_secs(900),
            unknown_capacity: 10_000,
            unknown_lifetime: Duration::from_secs(5),
            loads: 16,
            waiting_loads: 10_000,
            load_deadline: Duration::from_secs(1),
        }
    }
}

impl CacheOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What people call this instance, where it is said who has not heard of a change.
    /// Default: the host's name and the process id.
    #[must_use]
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Another clock, for tests.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// How long what is cached may be served after the last poll for changes was sent that
    /// succeeded: the bound on how late a change made elsewhere arrives when every hint is
    /// lost. Default: 5 s; from 1 s to 1 h.
    #[must_use]
    pub fn max_staleness(self, max_staleness: Duration) -> Self {
        let max_staleness = max_staleness.clamp(Duration::from_secs(1), Duration::from_secs(3_600));
        let poll_interval = self.poll_interval.min(max_staleness / 3);
        Self { max_staleness, poll_interval, ..self }
    }

    /// How often to poll where no hint comes. Default: each second; a third of
    /// `max_staleness` at most, so that one poll may fail.
    #[must_use]
    pub fn poll_interval(self, interval: Duration) -> Self {
        let least = Duration::from_millis(10);
        Self { poll_interval: interval.clamp(least, self.max_staleness / 3), ..self }
    }

    /// What to do while the store does not answer. Default: serve what is cached for 60 s; a
    /// day at most.
    #[must_use]
    pub fn outage(self, outage: Outage) -> Self {
        let outage = match outage {
            Outage::ServeCached(grace) => {
                Outage::ServeCached(grace.min(Duration::from_secs(86_400)))
            }
            Outage::Strict => Outage::Strict,
        };
        Self { outage, ..self }
    }

    /// Treats a tenant's keys as [`Outage::Strict`] does, whatever holds for the others.
    #[must_use]
    pub fn strict_tenant(mut self, tenant: TenantId) -> Self {
        self.strict_tenants.insert(tenant);
        self
    }

    /// How many records are kept. Default: 100 000.
    #[must_use]
    pub fn capacity(self, records: u64) -> Self {
        Self { capacity: records, ..self }
    }

    /// After how long a record is loaded anew although nothing has changed; each a little
    /// earlier than this, so that not all go at once. What is loaded may come from a shared
    /// cache, where it is for 15 min at most. Default: 15 min; 1 h at most.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: lifetime.min(Duration::from_secs(3_600)), ..self }
    }

    /// How many keys are remembered as unknown, apart from the records, so that a flood of
    /// wrong keys pushes no right one out. Default: 10 000.
    #[must_use]
    pub fn unknown_capacity(self, keys: u64) -> Self {
        Self { unknown_capacity: keys, ..self }
    }

    /// For how long they are. Default: 5 s; a minute at most.
    #[must_use]
    pub fn unknown_lifetime(self, lifetime: Duration) -> Self {
        Self { unknown_lifetime: lifetime.min(Duration::from_secs(60)), ..self }
    }

    /// How many lookups may ask the store at once; no more than it has connections for
    /// them. Default: 16.
    #[must_use]
    pub fn loads(self, at_once: usize) -> Self {
        Self { loads: at_once.max(1), ..self }
    }

    /// How many lookups may wait for their turn. Default: 10 000.
    #[must_use]
    pub fn waiting_loads(self, waiting: usize) -> Self {
        Self { waiting_loads: waiting, ..self }
    }

    /// How long a lookup waits for its turn, and then for the store. Default: 1 s each; a
    /// minute at most.
    #[must_use]
    pub fn load_deadline(self, deadline: Duration) -> Self {
        Self { load_deadline: deadline.min(Duration::from_secs(60)), ..self }
    }

    /// Longer than a load takes, unless whoever has begun it is neither polled nor dropped.
    pub(crate) fn longest_load(&self) -> Duration {
        const CACHES: Duration = Duration::from_secs(10);
        // A turn, and each attempt.
        CACHES + self.load_deadline * (1 + ATTEMPTS)
    }

    /// How long a mark must be kept: longer than whatever is compared with it lives.
    pub(crate) fn marks_lifetime(&self) -> Duration {
        (self.lifetime * 4).max(Duration::from_secs(3_600))
    }
}

fn instance_name() -> Arc<str> {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let host = host.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.as_deref().map_or("unnamed", str::trim);
    format!("{host}/{}", std::process::id()).into()
}
