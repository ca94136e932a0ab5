//! Deciding whether limits let a request through.

use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use crate::{
    AppliedLimit, Background, Counted, Denial, KeyRecord, Limit, LimitSubject, LimitedSubject,
    LookupError, TenantId,
};

/// Decides whether a request is within all limits that apply to it, and counts it if so.
///
/// # Contract
///
/// * It is one decision: a request that one limit refuses is counted by none.
/// * A limit is never exceeded by more than its kind and the limiter's mode allow, which the
///   limiter documents, however many ask at once.
/// * What is counted for one subject by one name and window goes on when the count of the limit is
///   changed.
/// * [`try_acquire`](Limiter::try_acquire) neither blocks nor waits.
/// * A place among [those at once](crate::LimitWindow::AtOnce) is taken until the last clone of
///   the [`Slots`] is dropped.
///
/// Checked by `keyauth_testkit::limiter_conformance!`.
pub trait Limiter: Debug + Send + Sync {
    /// Decides, if that needs no waiting.
    fn try_acquire(&self, call: &LimitedCall<'_>) -> TryAcquire;

    /// Decides about what [`try_acquire`](Limiter::try_acquire) could not.
    fn acquire(
        &self,
        call: OwnedCall,
    ) -> impl Future<Output = Result<LimitDecision, LookupError>> + Send;

    /// What has been used of the limits that apply, in their order. Of a key, by its record; of an
    /// owner, a group or a tenant as [one subject](Limited::alone).
    fn usage(
        &self,
        limited: Limited,
    ) -> impl Future<Output = Result<Vec<LimitState>, LookupError>> + Send;

    /// Forgets what somebody has used, but for what is under way.
    fn reset(
        &self,
        subject: &LimitedSubject,
    ) -> impl Future<Output = Result<(), LookupError>> + Send;

    /// Starts what it does beside requests, if anything:
    /// [`Authenticator::start`](crate::Authenticator::start) does, and who uses it without an
    /// authenticator must.
    fn start(&self) -> Background {
        Background::none()
    }
}

/// A request, as limits see it.
#[derive(Clone, Copy, Debug)]
pub struct LimitedCall<'a> {
    /// Whose limits.
    pub limited: &'a Limited,
    /// What it costs, for limits that count that.
    pub cost: u64,
    /// Whether the answer says how each limit stands where it is a yes. Where it is a no, it
    /// always does.
    pub report: bool,
}

/// The same, to be waited with.
#[derive(Clone, Debug)]
pub struct OwnedCall {
    /// Whose limits.
    pub limited: Limited,
    /// What it costs, for limits that count that.
    pub cost: u64,
    /// Whether the answer says how each limit stands where it is a yes.
    pub report: bool,
}

/// Whoever limits apply to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Limited {
    /// A key, by its record.
    Key(Arc<KeyRecord>),
    /// One subject alone, with limits that all count its use: a client without a key, or an owner,
    /// say, whose use is looked at.
    Subject(LimitedSubject, Arc<[AppliedLimit]>),
}

/// What can be said at once.
#[derive(Debug)]
#[non_exhaustive]
pub enum TryAcquire {
    /// The decision.
    Decided(LimitDecision),
    /// Somebody else must be asked: see [`Limiter::acquire`].
    Ask,
}

/// A decision over all limits of a request.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a decision is a yes or a no")]
pub enum LimitDecision {
    /// It is within all limits and has been counted.
    Within(Within),
    /// It is not, and has not.
    Exceeded(Exceeded),
}

/// A request that is within its limits.
#[derive(Debug, Default)]
pub struct Within {
    /// How the limits stand after it, where that was asked for.
    pub states: Vec<LimitState>,
    /// Its places among those at once, if any limit counts these.
    pub slots: Option<Slots>,
}

/// A request that exceeds a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// [`RateLimited`](Denial::RateLimited), or
    /// [`ConcurrencyLimited`](Denial::ConcurrencyLimited) where that alone is in the way.
    pub denial: Denial,
    /// When a request like it would pass, if nobody else came before; where it never would, how
    /// long to wait before the limit may have been changed.
    pub retry_after: Duration,
    /// How the limits stand.
    pub states: Vec<LimitState>,
}

/// How a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// Which one, of those that apply.
    pub at: usize,
    /// How much has been used.
    pub used: u64,
    /// How much is left.
    pub remaining: u64,
    /// When more of it is free again; zero where all of it is.
    pub resets_after: Duration,
    /// Whether it is this one that refuses.
    pub exceeded: bool,
}

/// Places among requests under way: given back when the last clone is dropped.
///
/// The layer holds one until the response body has ended. A handler that goes on beyond that, as
/// with a WebSocket, takes its own out of the request's extensions.
#[derive(Clone)]
pub struct Slots(
    #[expect(dead_code, reason = "what it holds is dropped with it")] Arc<dyn Any + Send + Sync>,
);

impl Slots {
    /// Places that are given back by dropping `held`.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self(Arc::new(held))
    }
}

impl Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slots")
    }
}

impl LimitedCall<'_> {
    /// A call to be waited with.
    #[must_use]
    pub fn to_owned(&self) -> OwnedCall {
        OwnedCall { limited: self.limited.clone(), cost: self.cost, report: self.report }
    }
}

impl OwnedCall {
    /// A view of it.
    #[must_use]
    pub const fn borrow(&self) -> LimitedCall<'_> {
        LimitedCall { limited: &self.limited, cost: self.cost, report: self.report }
    }
}

impl Limited {
    /// One subject alone, with limits of its own: to [look at](Limiter::usage) what an owner, a
    /// group or a tenant has used, as of the limits that are set on it. Those that are [for each of
    /// another kind](Limit::for_each) count the use of others, and are left out.
    #[must_use]
    pub fn alone(subject: LimitedSubject, limits: impl IntoIterator<Item = Limit>) -> Self {
        let kind = match subject {
            LimitedSubject::Key(..) | LimitedSubject::Other(_) => LimitSubject::Key,
            LimitedSubject::Member(..) | LimitedSubject::Owner(..) => LimitSubject::Owner,
            LimitedSubject::Group(..) => LimitSubject::Group,
            LimitedSubject::Tenant(_) => LimitSubject::Tenant,
        };
        let own = |limit: &Limit| limit.per.is_none_or(|per| per == kind);
        let limits = limits.into_iter().filter(own);
        let limits = limits.map(|limit| AppliedLimit { limit, counted: Counted::Key });
        Self::Subject(subject, limits.collect())
    }

    /// The limits that apply.
    #[must_use]
    #[inline]
    pub fn limits(&self) -> &[AppliedLimit] {
        match self {
            Self::Key(record) => &record.limits,
            Self::Subject(_, limits) => limits,
        }
    }

    /// Whose use one of its limits counts, as seen from it: one subject alone stands for itself.
    #[must_use]
    #[inline]
    pub const fn counted(&self, applied: &AppliedLimit) -> Counted {
        match self {
            Self::Key(_) => applied.counted,
            Self::Subject(..) => Counted::Key,
        }
    }

    /// Who that is; `None` for a group's where there is none.
    #[must_use]
    pub fn subject(&self, counted: Counted) -> Option<LimitedSubject> {
        match self {
            Self::Key(record) => record.key.limited(counted),
            Self::Subject(subject, _) => Some(subject.clone()),
        }
    }

    /// The tenant, where there is one.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Key(record) => Some(&record.key.tenant),
            Self::Subject(subject, _) => subject.tenant(),
        }
    }
}
