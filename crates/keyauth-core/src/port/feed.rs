//! Learning of changes.

use std::fmt::{self, Debug};
use std::sync::{Arc, Weak};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::{
    Clock, GroupId, Key, KeyDigest, KeyId, KeyLookup, KeyRef, KeyStore, LookupError, OwnerId,
    Propagation, StoreError, TenantId, Version,
};

/// Whose change it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// All records: so many subjects changed at once that they are not told one by one.
    Everything,
    /// A tenant, and so all its keys.
    Tenant(TenantId),
    /// An owner, its memberships and subscriptions.
    Owner(TenantId, OwnerId),
    /// A group.
    Group(TenantId, GroupId),
    /// A key, its secrets and limits.
    Key(KeyId),
}

/// What the feed carries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A subject has this version now, and records with a lower one are stale.
    Raised(Subject, Version),
    /// A secret has come into being: whoever remembers that it is unknown is wrong.
    NewSecret(KeyDigest),
    /// More secrets have come into being than are told one by one.
    NewSecrets,
}

/// Tells of every change that decides about records, so that caches know what is stale.
///
/// # Contract
///
/// * Every change is told, whoever made it and however: a call of [`KeyStore`], of another
///   process, or an `UPDATE` by hand. Use and names are no changes. Where they are more than can
///   be told, the page says so.
/// * A change that a lookup can see is told by the next poll that is sent, however late its
///   transaction committed. Telling one twice does no harm.
/// * A record carries versions at least those of all changes told before its lookup was sent.
///
/// Checked by `keyauth_testkit::change_feed_conformance!`.
pub trait ChangeFeed: KeyLookup {
    /// Reads the feed.
    type Reader: FeedReader + 'static;

    /// A reader for one instance of the service. It connects with its first poll.
    fn reader(&self, instance: Instance) -> Self::Reader;

    /// Has `observer` told of the changes that calls of this value, or clones of it, make:
    /// after they are durable, and before the call returns. A hint to hurry: the reader
    /// tells of them too.
    fn observe(&self, observer: Weak<dyn ChangeObserver>);

    /// Waits until every instance has applied all changes of `subject` made so far. A tenant
    /// stands for all that is in it, an owner or a group for itself and not for its keys.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn propagated(
        &self,
        subject: &Subject,
        timeout: Duration,
    ) -> impl Future<Output = Result<Propagation, StoreError>> + Send;

    /// Revokes a key and waits until every instance refuses it, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// Those of [`KeyStore::revoke`]; and where the wait got no answer, although the key is
    /// revoked by then, [`Unavailable`](crate::StoreErrorKind::Unavailable). Revoking it
    /// again is safe.
    fn revoke_and_wait(
        &self,
        key: impl Into<KeyRef> + Send,
        timeout: Duration,
    ) -> impl Future<Output = Result<(Key, Propagation), StoreError>> + Send
    where
        Self: KeyStore,
    {
        let key = key.into();
        async move {
            let revoked = self.revoke(key).await?;
            let propagation = self.propagated(&Subject::Key(revoked.id), timeout).await?;
            Ok((revoked, propagation))
        }
    }
}

impl<L: ChangeFeed> ChangeFeed for Arc<L> {
    type Reader = L::Reader;

    fn reader(&self, instance: Instance) -> Self::Reader {
        (**self).reader(instance)
    }

    fn observe(&self, observer: Weak<dyn ChangeObserver>) {
        (**self).observe(observer);
    }

    fn propagated(
        &self,
        subject: &Subject,
        timeout: Duration,
    ) -> impl Future<Output = Result<Propagation, StoreError>> + Send {
        (**self).propagated(subject, timeout)
    }
}

/// One instance's way through the feed.
pub trait FeedReader: Send {
    /// What has changed since the page before.
    ///
    /// The instance must be known to those who wait for it before the first page is read. May
    /// be dropped at any await; what it would have told is then in the next page.
    fn poll(&mut self) -> impl Future<Output = Result<FeedPage, LookupError>> + Send;

    /// Says that the changes of the last page have been applied.
    fn acknowledge(&mut self) -> impl Future<Output = Result<(), LookupError>> + Send;

    /// Waits for a sign that a poll would be worth while. Signs may be lost, doubled or
    /// false. May be dropped at any await.
    fn hint(&mut self) -> impl Future<Output = ()> + Send;

    /// Says that this instance serves no more, so that nobody waits for it.
    fn leave(self) -> impl Future<Output = ()> + Send;
}

/// What a poll has found.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// Whether changes may have been missed since the page before.
    pub continuity: Continuity,
    /// The history the changes are from. The first page of another one is a broken one.
    pub origin: Origin,
    /// The changes, in no order.
    pub changes: Vec<Change>,
    /// How long ago changes were made, of those for which that can be said. For figures,
    /// never for decisions.
    pub ages: Vec<Duration>,
}

/// Whether one page continues the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuity {
    /// No change between them was missed.
    Unbroken,
    /// Changes may have been missed, and what was cached before must go. The page holds all
    /// changes that are still kept.
    Broken,
    /// More has changed than can be told. What was cached before must go, and until all that
    /// could be cached elsewhere has expired, shared caches and replicas must not be asked:
    /// the page does not say what is stale of theirs.
    TooMany,
}

/// A history of changes: versions of two different ones cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Another name, another history: the database was restored, promoted, or is another one.
    pub name: Arc<str>,
    /// What this deployment seals records with, where it keeps them outside of its processes.
    pub seal: SealKey,
}

/// The secret that records are sealed with in a shared cache, so that whoever can write
/// there cannot make keys. It never prints and is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// Takes the secret from a store.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes to seal with.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// Is told of changes made in this process.
pub trait ChangeObserver: Send + Sync {
    /// These changes are durable. Called before the call that made them returns, so it must
    /// not block, and must not call the store.
    fn changed(&self, changes: &[Change]);
}

/// One instance of the service, as those know it who wait for changes to reach it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What people call it: a host's name, a pod's.
    pub name: Arc<str>,
    /// How long after its last poll was sent it serves what it has cached.
    pub max_staleness: Duration,
    /// How much longer it does while the store does not answer.
    pub grace: Duration,
    /// How it tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Instance {
    /// Whether it stops serving what was before a change while the change is still kept.
    ///
    /// # Errors
    ///
    /// What to do about it: one that is trimmed would look as if everybody had applied it, so
    /// a reader must not be polled on such terms.
    pub fn check(&self, history: Duration) -> Result<(), String> {
        let serves = self.max_staleness.saturating_add(self.grace);
        if Propagation::longest(serves) < history {
            return Ok(());
        }
        Err(format!(
            "this instance may serve what it has cached for {serves:?} after a poll, and changes \
             are kept for {history:?}; shorten `max_staleness` or the grace of `Outage`, or keep \
             them for longer"
        ))
    }
}
