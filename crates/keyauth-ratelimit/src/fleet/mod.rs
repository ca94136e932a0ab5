//! Limits of all instances together.

mod keeping;
mod leases;
mod places;

use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once};

use keyauth_core::{
    Background, LimitDecision, LimitState, LimitUnit, LimitWindow, Limited, LimitedCall,
    LimitedSubject, Limiter, LookupError, OwnedCall, Period, Seed, SharedDecision, SharedLimits,
    SharedPlace, SharedQuestion, SharedVerdict, Slots, TryAcquire, UsageSums, Within,
};

use crate::LocalLimiter;
use crate::answer::exceeded;
use leases::Leases;
use places::{HeldPlaces, LEASE, Places};

/// How often one question is asked: again when what counts begin with is known.
const ATTEMPTS: usize = 3;

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
/// It asks about each request, unless limits are [leased](Self::leased), which changes no bound.
///
/// A shared clock that jumps forward may let through one further count. What holds while the
/// shared limits are away is up to [`WhenAway`].
///
/// Start it with the authenticator ([`Authenticator::start`](keyauth_core::Authenticator::start)),
/// or by itself ([`Limiter::start`]) where there is none: that renews places among calls at once,
/// counts the instances, and takes leases.
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
    /// limit at least one: over all, the limit, and one for each instance at most, where all know
    /// of each other. What was used before does not count, of days and months neither.
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
    /// As many as there were when they were last counted; zero where they never were.
    instances: AtomicU64,
    least_instances: u64,
    places: Arc<Places>,
    leases: Option<Leases>,
    away: AtomicBool,
    not_started: Once,
    alone: Once,
}

impl<S: SharedLimits + 'static> FleetLimiter<S> {
    /// Asks `shared` about each request.
    pub fn new(shared: S) -> Self {
        Self(Arc::new(Inner {
            shared,
            local: LocalLimiter::new(),
            when_away: WhenAway::default(),
            sums: None,
            instances: AtomicU64::new(0),
            least_instances: 0,
            places: Arc::default(),
            leases: None,
            away: AtomicBool::new(false),
            not_started: Once::new(),
            alone: Once::new(),
        }))
    }

    /// Takes ahead of what limits have, as much as is used, so that most requests ask nobody.
    ///
    /// The bounds are the same. What was taken counts from then on, and is used in the same part of
    /// its window, which is a twentieth of it, or for 5 s where that is less; what is left then, or
    /// at the end, is given back. So a request may be refused for what other instances hold: no
    /// more than they have used in as long, and all together a tenth of a limit at most, as soon as
    /// they have counted each other (10 s, or [`with_instances`](Self::with_instances)).
    ///
    /// Requests ask nevertheless where nothing is there: those of somebody who has made fewer than
    /// four in that time, the last ones of a limit, and all that are under a limit of less than
    /// 10 s or of a count below 40 for each instance, a [smooth](LimitWindow::Smooth) one or one of
    /// [calls at once](LimitWindow::AtOnce).
    /// Who may use no more is told so by whoever counts, and not from memory.
    ///
    /// # Panics
    ///
    /// Where it is in use already.
    #[must_use]
    pub fn leased(self) -> Self {
        self.change(|inner| inner.leases = Some(Leases::new()))
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

    /// Takes the fleet for so many instances at least, where each allows its share: for one that
    /// starts while nobody can count them.
    ///
    /// # Panics
    ///
    /// Where it is in use already.
    #[must_use]
    pub fn with_instances(self, at_least: u64) -> Self {
        self.change(|inner| inner.least_instances = at_least.max(1))
    }

    /// Has counts of days and months that are not there begin with what was recorded: a Redis that
    /// was emptied reopens none of them then. Where that is not known either, there is no answer.
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

    /// A question about a call. Where nobody knows what was used, counts begin with nothing.
    fn question(&self, limited: Limited, cost: u64, place: u128) -> SharedQuestion {
        let nothing = Some(Seed { used: 0, since: None });
        let seed = self.0.sums.as_ref().map_or(nothing, |_| None);
        let seeds = vec![seed; limited.limits().len()];
        SharedQuestion { limited, cost, place, lease: LEASE, seeds }
    }

    async fn ask(
        &self,
        taking: bool,
        mut question: SharedQuestion,
    ) -> Result<SharedDecision, Unanswered> {
        let shared = &self.0.shared;
        for _ in 0..ATTEMPTS {
            let decision = match taking {
                true => shared.decide(&question).await,
                false => shared.look(&question).await,
            };
            let decision = decision.map_err(Unanswered::Away)?;
            let SharedVerdict::Unseeded { limits } = &decision.verdict else { return Ok(decision) };
            for at in limits {
                let seed = self.sum(&question.limited, *at, &decision).await;
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
    ) -> Result<Seed, LookupError> {
        let nothing = Ok(Seed { used: 0, since: None });
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
        let used = sums.used(subject, limit.unit, period).await?;
        Ok(Seed { used, since: Some(period.start) })
    }

    /// Takes the places of a call before they are asked for: where the answer is late, or nobody
    /// waits for it any more, they may have been given all the same, and are given back.
    fn hold(&self, limited: &Limited, place: u128) -> Option<HeldPlaces<S>> {
        let places = SharedPlace::all_of(limited, place);
        if places.is_empty() {
            return None;
        }
        let inner = Arc::clone(&self.0);
        if !inner.places.hold(&places) {
            inner.not_started.call_once(|| {
                tracing::warn!(
                    "calls at once are limited, and nobody renews their places, which are given \
                     to others after half a minute; call `Limiter::start`, as \
                     `Authenticator::start` does"
                );
            });
        }
        Some(HeldPlaces::new(inner, places))
    }

    fn answered(&self) {
        // Read first: a store for each call would move the line between all cores.
        if self.0.away.load(Ordering::Relaxed) && self.0.away.swap(false, Ordering::Relaxed) {
            tracing::info!("shared limits answer again");
        }
    }

    /// What is decided without an answer.
    fn away(&self, call: &OwnedCall, error: LookupError) -> Result<LimitDecision, LookupError> {
        if !self.0.away.swap(true, Ordering::Relaxed) {
            let source = std::error::Error::source(&error).map(tracing::field::display);
            let mode = tracing::field::debug(self.0.when_away);
            tracing::warn!(source, mode, "shared limits give no answer");
        }
        match self.0.when_away {
            WhenAway::Closed => Err(error),
            WhenAway::LocalShare => {
                let instances = match self.0.known_instances() {
                    0 => {
                        self.0.alone.call_once(|| {
                            tracing::warn!(
                                "limits are shared, and the instances were never counted, so this \
                                 one allows as much as all together; call `Limiter::start`, as \
                                 `Authenticator::start` does, or say `FleetLimiter::with_instances`"
                            );
                        });
                        1
                    }
                    known => known,
                };
                Ok(self.0.local.decide_share(&call.borrow(), instances))
            }
            WhenAway::OpenWithoutLimits => Ok(LimitDecision::Within(Within::default())),
        }
    }
}

impl<S> Inner<S> {
    /// How many instances there are; zero where nobody knows.
    fn known_instances(&self) -> u64 {
        self.instances.load(Ordering::Relaxed).max(self.least_instances)
    }
}

impl<S: SharedLimits + 'static> Limiter for FleetLimiter<S> {
    fn try_acquire(&self, call: &LimitedCall<'_>) -> TryAcquire {
        match &self.0.leases {
            Some(leases) => leases.try_acquire(call, self.0.known_instances()),
            None => TryAcquire::Ask,
        }
    }

    async fn acquire(&self, call: OwnedCall) -> Result<LimitDecision, LookupError> {
        let place = self.0.places.next();
        let held = self.hold(&call.limited, place);
        let question = self.question(call.limited.clone(), call.cost, place);
        match self.ask(true, question).await {
            Ok(SharedDecision { verdict, states, .. }) => {
                self.answered();
                if verdict == SharedVerdict::Within {
                    if let Some(leases) = &self.0.leases {
                        leases.note(&call.limited, call.cost, self.0.known_instances());
                    }
                    let states = if call.report { states } else { Vec::new() };
                    return Ok(LimitDecision::Within(Within {
                        states,
                        slots: held.map(|held| Slots::new(held.keep())),
                    }));
                }
                // None was given.
                if let Some(held) = held {
                    held.forget();
                }
                let wait = match verdict {
                    SharedVerdict::Exceeded(wait) => wait,
                    // Whatever a later version says, it is not a yes.
                    _ => None,
                };
                Ok(LimitDecision::Exceeded(exceeded(&call.limited, states, wait)))
            }
            Err(Unanswered::Away(error)) => self.away(&call, error),
            // Also where everything is open: a day that was lost would be reopened by a database
            // that is away.
            Err(Unanswered::Unknown(error)) => Err(error),
        }
    }

    async fn usage(&self, limited: Limited) -> Result<Vec<LimitState>, LookupError> {
        let decision = self.ask(false, self.question(limited, 0, 0)).await;
        let decision = decision.map_err(|unanswered| match unanswered {
            Unanswered::Away(error) | Unanswered::Unknown(error) => error,
        })?;
        Ok(decision.states)
    }

    async fn reset(&self, subject: &LimitedSubject) -> Result<(), LookupError> {
        self.0.local.reset(subject).await?;
        self.0.shared.reset(subject).await?;
        if let Some(leases) = &self.0.leases {
            leases.reset(subject);
        }
        Ok(())
    }

    fn start(&self) -> Background {
        // Leases first: who goes says so when nothing is held any more.
        leases::keep(&self.0).and(places::keep(&self.0))
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
