//! Limits of all instances together.

mod places;

use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use keyauth_core::{
    Background, LimitDecision, LimitState, LimitUnit, LimitWindow, Limited, LimitedCall,
    LimitedSubject, Limiter, LookupError, OwnedCall, Period, SharedDecision, SharedLimits,
    SharedQuestion, SharedVerdict, Slots, TryAcquire, UsageSums, Within,
};

use crate::LocalLimiter;
use crate::answer::exceeded;
use places::{HeldPlaces, LEASE, Places};

/// How often one question is asked: again when what counts begin with is known.
const ATTEMPTS: usize = 2;

/// Limits over a whole fleet: each decision is one step of a [`SharedLimits`], like Redis, by its
/// clock. Clones are one.
///
/// | kind | bound, over all instances |
/// | --- | --- |
/// | [rolling](LimitWindow::Rolling) | never more than the count in any stretch of the window's length, by the times of the decisions; a place is free again one window later, and at most a twentieth of it after that |
/// | [smooth](LimitWindow::Smooth) | in any stretch of time, the burst and the count's part for that time |
/// | day, month | the count, in each calendar day or month of the zone |
/// | at once | the count; the places of a process that died come back after 30 s |
///
/// A shared clock that jumps forward may let through one further count. What holds while the
/// shared limits are away is up to [`WhenAway`].
///
/// Start it with the authenticator ([`Authenticator::start`](keyauth_core::Authenticator::start)):
/// that renews places among calls at once, and counts the instances.
pub struct FleetLimiter<S>(Arc<Inner<S>>);

/// Why there is no answer.
enum Unanswered {
    /// Nobody can be asked.
    Away(LookupError),
    /// It is not known what was used, and nothing may be decided without.
    Unknown(LookupError),
}

/// What is decided while nobody can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenAway {
    /// Nothing: requests whose keys have limits are told that there is no answer.
    Closed,
    /// Each instance allows its share, of as many instances as there were last, and of each
    /// limit at least one: over all, the limit, and one for each instance at most. What was
    /// used before does not count.
    #[default]
    LocalShare,
    /// Everything is let through, as if there were no limits.
    OpenWithoutLimits,
}

struct Inner<S> {
    shared: S,
    local: LocalLimiter,
    when_away: WhenAway,
    sums: Option<Arc<dyn DynSums>>,
    instances: AtomicU64,
    places: Arc<Places>,
    not_started: Once,
}

impl<S: SharedLimits + 'static> FleetLimiter<S> {
    /// Asks `shared` about each request.
    pub fn new(shared: S) -> Self {
        Self(Arc::new(Inner {
            shared,
            local: LocalLimiter::new(),
            when_away: WhenAway::default(),
            sums: None,
            instances: AtomicU64::new(1),
            places: Arc::default(),
            not_started: Once::new(),
        }))
    }

    /// Decides otherwise while `shared` is away.
    ///
    /// # Panics
    ///
    /// Where it is in use already.
    #[must_use]
    pub fn when_away(self, when_away: WhenAway) -> Self {
        self.change(|inner| inner.when_away = when_away)
    }

    /// Has counts of days and months that are not there begin with what was recorded: losing
    /// Redis reopens none of them then. Where that is not known either, there is no answer.
    /// Without sums, they begin with nothing.
    ///
    /// # Panics
    ///
    /// Where it is in use already.
    #[must_use]
    pub fn with_usage_sums(self, sums: impl UsageSums + 'static) -> Self {
        self.change(|inner| inner.sums = Some(Arc::new(sums)))
    }

    #[expect(clippy::expect_used, reason = "documented: it is built before it is used")]
    fn change(mut self, change: impl FnOnce(&mut Inner<S>)) -> Self {
        change(Arc::get_mut(&mut self.0).expect("it is not in use yet"));
        self
    }

    async fn ask(&self, call: &OwnedCall, place: u128) -> Result<SharedDecision, Unanswered> {
        let inner = &self.0;
        let count = call.limited.limits().len();
        let unknown = inner.sums.as_ref().map_or(Some(0), |_| None);
        let mut question = SharedQuestion {
            limited: call.limited.clone(),
            cost: call.cost,
            place,
            lease: LEASE,
            seeds: vec![unknown; count],
        };
        for _ in 0..ATTEMPTS {
            let decision = inner.shared.decide(&question).await.map_err(Unanswered::Away)?;
            let SharedVerdict::Unseeded { limits } = &decision.verdict else { return Ok(decision) };
            for at in limits {
                let seed = self.sum(&call.limited, *at, &decision).await;
                let seed = seed.map_err(Unanswered::Unknown)?;
                if let Some(place) = question.seeds.get_mut(*at) {
                    *place = Some(seed);
                }
            }
        }
        let lost = "counts went as often as they were given";
        Err(Unanswered::Unknown(LookupError::unavailable(lost)))
    }

    /// What was recorded of the use that a limit counts.
    async fn sum(
        &self,
        limited: &Limited,
        at: usize,
        decision: &SharedDecision,
    ) -> Result<u64, LookupError> {
        let nothing = Ok(0);
        let (Some(sums), Some(applied)) = (&self.0.sums, limited.limits().get(at)) else {
            return nothing;
        };
        let Some(subject) = limited.subject(limited.counted(applied)) else { return nothing };
        let limit = &applied.limit;
        let period = match limit.window {
            LimitWindow::Day => limit.zone.day(decision.at),
            LimitWindow::Month => limit.zone.month(decision.at),
            _ => return nothing,
        };
        sums.used(subject, limit.unit, period).await
    }

    fn decided(&self, call: &OwnedCall, decision: SharedDecision) -> LimitDecision {
        let states = decision.states;
        match decision.verdict {
            SharedVerdict::Within { places } => {
                let slots = (!places.is_empty()).then(|| self.hold(places));
                let states = if call.report { states } else { Vec::new() };
                LimitDecision::Within(Within { states, slots })
            }
            SharedVerdict::Exceeded(wait) => {
                LimitDecision::Exceeded(exceeded(&call.limited, states, wait))
            }
            // Whatever a later version says, it is not a yes.
            _ => LimitDecision::Exceeded(exceeded(&call.limited, states, None)),
        }
    }

    fn hold(&self, places: Vec<keyauth_core::SharedPlace>) -> Slots {
        let inner = Arc::clone(&self.0);
        inner.places.hold(&places);
        if !inner.places.are_kept() {
            inner.not_started.call_once(|| {
                tracing::warn!(
                    "calls at once are limited, and nobody renews their places, which are given \
                     to others after half a minute; call `Authenticator::start`"
                );
            });
        }
        Slots::new(HeldPlaces::new(inner, places))
    }

    /// What is decided without an answer.
    fn away(&self, call: &OwnedCall, error: LookupError) -> Result<LimitDecision, LookupError> {
        match self.0.when_away {
            WhenAway::Closed => Err(error),
            WhenAway::LocalShare => {
                let instances = self.0.instances.load(Ordering::Relaxed);
                Ok(self.0.local.decide_share(&call.borrow(), instances))
            }
            WhenAway::OpenWithoutLimits => Ok(LimitDecision::Within(Within::default())),
        }
    }
}

impl<S: SharedLimits + 'static> Limiter for FleetLimiter<S> {
    fn try_acquire(&self, _: &LimitedCall<'_>) -> TryAcquire {
        TryAcquire::Ask
    }

    async fn acquire(&self, call: OwnedCall) -> Result<LimitDecision, LookupError> {
        match self.ask(&call, self.0.places.next()).await {
            Ok(decision) => Ok(self.decided(&call, decision)),
            Err(Unanswered::Away(error)) => self.away(&call, error),
            // Also where everything is open: a day that was lost would be reopened by a database
            // that is away.
            Err(Unanswered::Unknown(error)) => Err(error),
        }
    }

    async fn usage(&self, limited: Limited) -> Result<Vec<LimitState>, LookupError> {
        Ok(self.0.shared.look(&limited).await?.states)
    }

    async fn reset(&self, subject: &LimitedSubject) -> Result<(), LookupError> {
        self.0.local.reset(subject).await?;
        self.0.shared.reset(subject).await
    }

    fn start(&self) -> Background {
        places::keep(&self.0)
    }
}

/// [`UsageSums`] behind a pointer.
trait DynSums: Debug + Send + Sync {
    fn used(
        &self,
        subject: LimitedSubject,
        unit: LimitUnit,
        period: Period,
    ) -> Pin<Box<dyn Future<Output = Result<u64, LookupError>> + Send + '_>>;
}

impl<U: UsageSums> DynSums for U {
    fn used(
        &self,
        subject: LimitedSubject,
        unit: LimitUnit,
        period: Period,
    ) -> Pin<Box<dyn Future<Output = Result<u64, LookupError>> + Send + '_>> {
        Box::pin(async move { UsageSums::used(self, &subject, unit, period).await })
    }
}

impl<S> Clone for FleetLimiter<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Debug> Debug for FleetLimiter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetLimiter")
            .field("shared", &self.0.shared)
            .field("when_away", &self.0.when_away)
            .finish_non_exhaustive()
    }
}
