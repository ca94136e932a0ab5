//! The object-safe twin of [`Limiter`].

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use crate::{
    Background, LimitDecision, LimitState, Limited, LimitedCall, LimitedSubject, Limiter,
    LookupError, OwnedCall, TryAcquire,
};

/// A decision under way; see [`Authenticator::limit`](crate::Authenticator::limit).
pub type LimitFuture = Pin<Box<dyn Future<Output = Result<LimitDecision, LookupError>> + Send>>;

/// How limits stand, being read.
pub(super) type LimitStatesFuture =
    Pin<Box<dyn Future<Output = Result<Vec<LimitState>, LookupError>> + Send>>;

/// Limits beginning anew.
pub(super) type LimitResetFuture = Pin<Box<dyn Future<Output = Result<(), LookupError>> + Send>>;

/// [`Limiter`] behind a pointer, so that no type parameter reaches the user's types.
pub(super) trait DynLimiter: Debug + Send + Sync {
    fn try_acquire(&self, call: &LimitedCall<'_>) -> TryAcquire;

    fn acquire(self: Arc<Self>, call: OwnedCall) -> LimitFuture;

    fn usage(self: Arc<Self>, limited: Limited) -> LimitStatesFuture;

    fn reset(self: Arc<Self>, subject: LimitedSubject) -> LimitResetFuture;

    fn start(&self) -> Background;
}

impl<L: Limiter + 'static> DynLimiter for L {
    fn try_acquire(&self, call: &LimitedCall<'_>) -> TryAcquire {
        Limiter::try_acquire(self, call)
    }

    fn acquire(self: Arc<Self>, call: OwnedCall) -> LimitFuture {
        Box::pin(async move { Limiter::acquire(&*self, call).await })
    }

    fn usage(self: Arc<Self>, limited: Limited) -> LimitStatesFuture {
        Box::pin(async move { Limiter::usage(&*self, limited).await })
    }

    fn reset(self: Arc<Self>, subject: LimitedSubject) -> LimitResetFuture {
        Box::pin(async move { Limiter::reset(&*self, &subject).await })
    }

    fn start(&self) -> Background {
        Limiter::start(self)
    }
}
