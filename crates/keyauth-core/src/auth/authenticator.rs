//! The handle that services hold.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use super::admission::{Admission, AuthenticatorId};
use super::dyn_importer::DynImporter;
use super::dyn_limiter::{DynLimiter, LimitFuture};
use super::dyn_lookup::DynLookup;
use super::dyn_meter::DynMeter;
use super::timekeeper::Timekeeper;
use crate::policy::admit_at;
use crate::{
    Background, CallDetails, Charge, ChargeHold, Clock, Denial, Importer, KeyLookup, KeyRecord,
    Keyring, LimitDecision, LimitState, Limited, LimitedCall, LimitedSubject, Limiter, LookupError,
    Meter, Parsed, Peek, PlaintextKey, PresentedKey, Recognition, RequestFacts, SystemClock,
    Timestamp, TryAcquire, Within,
};

/// A lookup under way; see [`Authenticator::find`].
pub type LookupFuture =
    Pin<Box<dyn Future<Output = Result<Option<Arc<KeyRecord>>, LookupError>> + Send>>;

/// What limits say to a request; see [`Authenticator::limit`].
#[expect(missing_debug_implementations, reason = "futures say nothing")]
#[expect(clippy::exhaustive_enums, reason = "it is there, or has to be waited for")]
pub enum LimitStep {
    /// The decision.
    Decided(LimitDecision),
    /// It has to be waited for.
    Ask(LimitFuture),
}

/// Decides whether a presented key is let through.
///
/// A concrete handle that clones for the price of a counter; what it stands on is erased.
///
/// [`verify`](Authenticator::verify) is the whole decision, for application code. A
/// middleware takes the steps one by one, because the first and the last need no await:
/// [`parse`](Authenticator::parse), [`peek`](Authenticator::peek),
/// [`find`](Authenticator::find) where the peek said so, [`judge`](Authenticator::judge),
/// [`limit`](Authenticator::limit).
///
/// # Example
///
/// ```
/// use keyauth_core::{Authenticator, Denial, KeyStore, MemoryStore, NewKey, RequestFacts};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let key = store.issue(NewKey::named("ada")).await?;
///
/// let auth = Authenticator::new(store);
/// let decision = auth.verify(key.reveal(), &RequestFacts::new()).await?;
/// let admission = decision.expect("a fresh key is admitted");
/// assert_eq!(admission.key_id(), key.id());
///
/// let denied = auth.verify("sk_guessed", &RequestFacts::new()).await?;
/// assert_eq!(denied.err(), Some(Denial::InvalidKey));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    id: AuthenticatorId,
    keyring: Keyring,
    lookup: Arc<dyn DynLookup>,
    limiter: Option<Arc<dyn DynLimiter>>,
    meter: Option<Arc<dyn DynMeter>>,
    importer: Option<Arc<dyn DynImporter>>,
    time: Arc<Timekeeper>,
    limits_warning: Arc<Once>,
    budgets_warning: Arc<Once>,
}

impl Authenticator {
    /// Decides by the records of a lookup and by the machine's clock.
    pub fn new(lookup: impl KeyLookup + 'static) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let keyring = lookup.keyring().clone();
        Self(Arc::new(Inner {
            id: AuthenticatorId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            keyring,
            lookup: Arc::new(lookup),
            limiter: None,
            meter: None,
            importer: None,
            time: Arc::new(Timekeeper::new(Arc::new(SystemClock::new()))),
            limits_warning: Arc::new(Once::new()),
            budgets_warning: Arc::new(Once::new()),
        }))
    }

    /// Decides by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        let inner = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Inner { time: Arc::new(Timekeeper::new(clock)), ..inner }))
    }

    /// Enforces the limits of keys, owners, groups and tenants. Without one they are not, and the
    /// log says so when it meets one.
    #[must_use]
    pub fn with_limiter(self, limiter: impl Limiter + 'static) -> Self {
        let inner = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Inner { limiter: Some(Arc::new(limiter)), ..inner }))
    }

    /// Enforces the budgets of keys, owners, groups and tenants. Without one they are not, and the
    /// log says so when it meets one.
    #[must_use]
    pub fn with_meter(self, meter: impl Meter + 'static) -> Self {
        let inner = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Inner { meter: Some(Arc::new(meter)), ..inner }))
    }

    /// Recognises keys of other systems when they are presented for the first time. The keyring must
    /// [accept them](Keyring::with_imported_keys) too, and the importer's store must issue by the same
    /// one: what that digests by another is not found again.
    #[must_use]
    pub fn with_importer(self, importer: impl Importer + 'static) -> Self {
        let inner = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Inner { importer: Some(Arc::new(importer)), ..inner }))
    }

    /// Starts what lookup, limiter and meter do beside requests, on the runtime this is called on: a
    /// cache polls for changes then, and does not serve anything before.
    ///
    /// Calling it again starts nothing twice.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, where they have anything to do.
    pub fn start(self) -> (Self, Background) {
        let background = self.0.lookup.start();
        let limiter = self.0.limiter.as_ref().map(|limiter| limiter.start());
        let meter = self.0.meter.as_ref().map(|meter| meter.start());
        let background = background.and(limiter.unwrap_or_else(Background::none));
        let background = background.and(meter.unwrap_or_else(Background::none));
        (self, background)
    }

    /// Decides about a key from its text to the end, limits included, which count it as one call
    /// of cost one.
    ///
    /// The outer result says whether there is an answer, the inner one which. Places among calls
    /// at once are given back when the admission and its clones are dropped.
    ///
    /// # Errors
    ///
    /// [`LookupError`] where there is no answer.
    pub async fn verify(
        &self,
        key: &str,
        facts: &RequestFacts<'_>,
    ) -> Result<Result<Admission, Denial>, LookupError> {
        let Parsed::Key(key) = self.parse(key.as_bytes()) else {
            return Ok(Err(Denial::InvalidKey));
        };
        let record = match self.peek(key) {
            Peek::Found(record) => Some(record),
            Peek::Unknown => None,
            Peek::Ask => self.find(key).await?,
        };
        let judged = record.ok_or(Denial::InvalidKey).and_then(|record| self.judge(record, facts));
        let admission = match judged {
            Ok(admission) => admission,
            Err(denial) => return Ok(Err(denial)),
        };
        let decision = match self.limit(&admission, 1, false) {
            LimitStep::Decided(decision) => decision,
            LimitStep::Ask(decision) => decision.await?,
        };
        Ok(match decision {
            LimitDecision::Within(within) => Ok(admission.holding(within.slots)),
            LimitDecision::Exceeded(exceeded) => Err(exceeded.denial),
        })
    }

    /// The keyring that says which texts are keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// Says what a presented text is, without asking anybody.
    #[must_use]
    pub fn parse<'a>(&self, text: &'a [u8]) -> Parsed<'a> {
        self.0.keyring.parse(text)
    }

    /// What is known of a key without asking anybody.
    #[must_use]
    pub fn peek(&self, key: PresentedKey<'_>) -> Peek {
        let mut answer = Peek::Unknown;
        for digest in self.0.keyring.digests(key) {
            match self.0.lookup.peek(&digest) {
                Peek::Found(record) => return Peek::Found(record),
                Peek::Unknown => {}
                Peek::Ask => answer = Peek::Ask,
            }
        }
        match answer {
            // That its digest is unknown is not all there is to know of it.
            Peek::Unknown if self.importer_of(key).is_some() => Peek::Ask,
            answer => answer,
        }
    }

    /// Who might recognise a key that nobody knows.
    fn importer_of(&self, key: PresentedKey<'_>) -> Option<&Arc<dyn DynImporter>> {
        let importer = self.0.importer.as_ref()?;
        self.0.keyring.may_be_imported(key.as_bytes()).then_some(importer)
    }

    /// Asks for the record of a key. The future borrows nothing, so a middleware can hold
    /// it beside the request it came from.
    #[must_use]
    pub fn find(&self, key: PresentedKey<'_>) -> LookupFuture {
        let digests: Vec<_> = self.0.keyring.digests(key).collect();
        let lookup = Arc::clone(&self.0.lookup);
        let Some((importer, key)) = self.importer_of(key).zip(PlaintextKey::presented(key)) else {
            return lookup.find_any(digests);
        };
        let importer = Arc::clone(importer);
        Box::pin(async move {
            let found = Arc::clone(&lookup).find_any(digests.clone()).await?;
            if found.is_some() {
                return Ok(found);
            }
            if importer.recognise(key).await? == Recognition::Nobodys {
                return Ok(None);
            }
            // What was remembered a moment ago may be from before somebody else recognised it.
            for digest in &digests {
                lookup.forget_unknown(digest);
            }
            lookup.find_any(digests).await
        })
    }

    /// Judges a request by its key's record: the pure [`admit`](crate::admit), at the present time.
    ///
    /// # Errors
    ///
    /// The [`Denial`], where the request is not let through.
    pub fn judge(
        &self,
        record: Arc<KeyRecord>,
        facts: &RequestFacts<'_>,
    ) -> Result<Admission, Denial> {
        admit_at(&record, facts, || self.0.time.now())?;
        if self.0.limiter.is_none() && !record.limits.is_empty() {
            self.warn_of_limits();
        }
        if self.0.meter.is_none() && !record.budgets.is_empty() {
            self.warn_of_budgets();
        }
        Ok(Admission::new(record, self.0.id))
    }

    /// Has the limits of an admitted key decide, and count the request if it is within all of
    /// them. Without a limiter every request is.
    ///
    /// `cost` is for limits that count that; `report` asks for how each stands where it is a yes.
    #[must_use]
    pub fn limit(&self, admission: &Admission, cost: u64, report: bool) -> LimitStep {
        let limiter = self.0.limiter.as_ref().filter(|_| !admission.record().limits.is_empty());
        let Some(limiter) = limiter else {
            return LimitStep::Decided(LimitDecision::Within(Within::default()));
        };
        let limited = Limited::Key(admission.shared_record());
        let call = LimitedCall { limited: &limited, cost, report };
        match limiter.try_acquire(&call) {
            TryAcquire::Decided(decision) => LimitStep::Decided(decision),
            TryAcquire::Ask => LimitStep::Ask(Arc::clone(limiter).acquire(call.to_owned())),
        }
    }

    /// The time it decides by.
    pub(super) fn now(&self) -> Timestamp {
        self.0.time.now()
    }

    /// How the limits of somebody stand, in their order; nothing without a limiter.
    ///
    /// # Errors
    ///
    /// [`LookupError`] where the limiter has no answer.
    pub async fn limits_of(&self, limited: Limited) -> Result<Vec<LimitState>, LookupError> {
        match &self.0.limiter {
            Some(limiter) if !limited.limits().is_empty() => {
                Arc::clone(limiter).usage(limited).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Has the limits of somebody begin anew, but for what is under way: an operator's decision.
    ///
    /// # Errors
    ///
    /// [`LookupError`] where the limiter has no answer.
    pub async fn reset_limits(&self, subject: LimitedSubject) -> Result<(), LookupError> {
        match &self.0.limiter {
            Some(limiter) => Arc::clone(limiter).reset(subject).await,
            None => Ok(()),
        }
    }

    /// Opens what a request of an admitted key is charged to; `None` without a meter. It is booked,
    /// and recorded with its details where the meter does that, when the last hold is dropped.
    #[must_use]
    pub fn charge(
        &self,
        admission: &Admission,
        details: impl FnOnce() -> CallDetails,
    ) -> Option<(Charge, ChargeHold)> {
        let meter = Arc::clone(self.0.meter.as_ref()?);
        let details = meter.is_recording().then(details);
        Some(Charge::open(meter, admission.shared_record(), details))
    }

    /// Whether this authenticator, or a clone of it, made an admission.
    #[must_use]
    pub fn made(&self, admission: &Admission) -> bool {
        admission.is_by(self.0.id)
    }

    #[cold]
    fn warn_of_limits(&self) {
        self.0.limits_warning.call_once(|| {
            tracing::warn!(
                "a key carries limits, and nothing enforces them; give \
                 `Authenticator::with_limiter` a limiter"
            );
        });
    }

    #[cold]
    fn warn_of_budgets(&self) {
        self.0.budgets_warning.call_once(|| {
            tracing::warn!(
                "a key carries budgets, and nothing enforces them; give \
                 `Authenticator::with_meter` a meter"
            );
        });
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("id", &self.0.id.0)
            .field("keyring", &self.0.keyring)
            .finish_non_exhaustive()
    }
}
