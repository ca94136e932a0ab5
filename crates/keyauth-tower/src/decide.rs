//! What becomes of a request: the steps before the service is called.

use std::sync::Arc;

use http::Request;
use keyauth_core::{
    Denial, Guard, KeyRecord, LimitDecision, LimitFuture, LimitStep, LookupError, LookupFuture,
    Parsed, Peek, RequestFacts,
};
use tracing::Span;

use crate::address::network;
use crate::charging::ReserveFuture;
use crate::layer::{Foreign, Settings, Strangers};
use crate::limits::{LimitHeaders, tell};
use crate::permit::Permit;
use crate::refusal::{Reason, Refusal, Shape};
use crate::require::Unauthenticated;
use crate::source::query_holds_key;
use crate::{Charge, Credential, KeySource, Principal, RequestHead, observe};

/// What to do with a request that has just come in.
pub(crate) enum Step {
    /// Call the service.
    Pass(Place, Permit),
    /// Wait first.
    Wait(Wait, Place),
    /// Send this instead.
    Refuse(Refusal),
}

/// What a request waits for.
pub(crate) enum Wait {
    /// The record of its key.
    Record(LookupFuture),
    /// The decision over the limits of whom it was admitted for.
    Limits(LimitFuture, Principal),
    /// The decision over the budgets, once it is within its limits.
    Budgets(ReserveFuture, Principal, Permit),
}

/// What has become of a request that waited, or did not need to.
pub(crate) enum Cleared {
    /// Call the service.
    Pass(Permit),
    /// Wait for this, too.
    Wait(Wait),
}

/// Where the key of an admitted request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In `Authorization`, or there was none: caches know what to do (RFC 9111 section 3.5).
    KnownToCaches,
    /// Anywhere else: shared caches must be told not to keep the answer.
    UnknownToCaches,
}

/// What the sources came up with, all of them considered.
enum Presented {
    Nothing,
    /// Something that cannot be a key of anybody.
    Unusable,
    /// Something that may be a token of another system.
    Foreign,
    /// A malformed key of ours.
    Malformed,
    /// A key of ours, and what is known of it.
    Key(Peeked, Place),
    /// Something that is there twice.
    Repeated,
}

enum Peeked {
    Record(Option<Arc<KeyRecord>>),
    Lookup(LookupFuture),
}

impl Settings {
    /// Decides as far as that needs no waiting.
    pub(crate) fn begin<B>(&self, request: &mut Request<B>, span: &Span) -> Step {
        let known = request.extensions().get::<Principal>();
        if known.is_some_and(|principal| self.auth.made(principal)) {
            // A layer further out has decided with the same authenticator: once is enough.
            return Step::Pass(Place::KnownToCaches, Permit::default());
        }
        request.extensions_mut().remove::<Principal>();
        request.extensions_mut().remove::<Charge>();
        self.mark_sensitive(request);
        let head = RequestHead::of(request);
        if self.skip.as_ref().is_some_and(|skip| skip(&head)) {
            observe::skipped(span);
            return self.pass_unauthenticated(request);
        }
        let leaked = |query| query_holds_key(query, self.auth.keyring(), &self.sources);
        if head.uri.query().is_some_and(leaked) {
            return Step::Refuse(self.refuse(request, span, Denial::InvalidRequest));
        }
        match self.present(&head) {
            Presented::Nothing if self.strangers == Strangers::Anonymous => {
                observe::anonymous(span);
                self.pass_unauthenticated(request)
            }
            Presented::Nothing => Step::Refuse(self.refuse(request, span, Denial::MissingKey)),
            Presented::Foreign if self.foreign == Foreign::Anonymous => {
                observe::anonymous(span);
                self.pass_unauthenticated(request)
            }
            Presented::Foreign | Presented::Unusable | Presented::Malformed => {
                Step::Refuse(match self.held_up(request, span) {
                    Some(refusal) => refusal,
                    None => self.refuse_unknown(request, span),
                })
            }
            Presented::Repeated => Step::Refuse(self.refuse(request, span, Denial::InvalidRequest)),
            Presented::Key(Peeked::Lookup(lookup), place) => match self.held_up(request, span) {
                Some(refusal) => Step::Refuse(refusal),
                None => Step::Wait(Wait::Record(lookup), place),
            },
            Presented::Key(Peeked::Record(None), _) => {
                Step::Refuse(match self.held_up(request, span) {
                    Some(refusal) => refusal,
                    None => self.refuse_unknown(request, span),
                })
            }
            Presented::Key(Peeked::Record(record), place) => {
                match self.conclude(request, Ok(record), span) {
                    Ok(Cleared::Pass(permit)) => Step::Pass(place, permit),
                    Ok(Cleared::Wait(wait)) => Step::Wait(wait, place),
                    Err(refusal) => Step::Refuse(refusal),
                }
            }
        }
    }

    /// Decides once the record is known.
    pub(crate) fn conclude<B>(
        &self,
        request: &mut Request<B>,
        answer: Result<Option<Arc<KeyRecord>>, LookupError>,
        span: &Span,
    ) -> Result<Cleared, Refusal> {
        let record = match answer {
            Ok(Some(record)) => record,
            Ok(None) => return Err(self.refuse_unknown(request, span)),
            Err(error) => {
                observe::unanswered(span, &error);
                return Err(self.refusal(request, error.kind()));
            }
        };
        match self.judge(&RequestHead::of(request), Arc::clone(&record)) {
            Ok(principal) => self.limit(request, principal, span),
            Err(denial) => {
                observe::denied(span, denial, Some(&record), &RequestHead::of(request));
                Err(self.refusal(request, denial))
            }
        }
    }

    /// Has the limits decide about a request that is admitted otherwise.
    fn limit<B>(
        &self,
        request: &mut Request<B>,
        principal: Principal,
        span: &Span,
    ) -> Result<Cleared, Refusal> {
        let cost = self.cost.as_ref().map_or(1, |cost| cost(&RequestHead::of(request)));
        match self.auth.limit(&principal, cost, self.telling.on_success) {
            LimitStep::Ask(decision) => Ok(Cleared::Wait(Wait::Limits(decision, principal))),
            LimitStep::Decided(decision) => self.limited(request, principal, Ok(decision), span),
        }
    }

    /// Decides once the limits have.
    pub(crate) fn limited<B>(
        &self,
        request: &mut Request<B>,
        principal: Principal,
        decision: Result<LimitDecision, LookupError>,
        span: &Span,
    ) -> Result<Cleared, Refusal> {
        let record = principal.record();
        match decision {
            Ok(LimitDecision::Within(within)) => {
                let told = match within.states.as_slice() {
                    [] => LimitHeaders::new(),
                    states => tell(&record.limits, states, self.telling).0,
                };
                let charge = self.open_charge(request, &principal);
                let permit = Permit { slots: within.slots, told, charge };
                Ok(self.price(request, principal, permit, span))
            }
            Ok(LimitDecision::Exceeded(exceeded)) => {
                let denial = exceeded.denial;
                observe::denied(span, denial, Some(record), &RequestHead::of(request));
                let told = tell(&record.limits, &exceeded.states, self.telling);
                Err(self.refusal(request, denial).with_limits(exceeded.retry_after, told))
            }
            Err(error) => {
                observe::unanswered(span, &error);
                Err(self.refusal(request, error.kind()))
            }
        }
    }

    /// Puts the principal into the request, and what else its handler may want.
    pub(crate) fn pass<B>(
        &self,
        request: &mut Request<B>,
        principal: Principal,
        permit: Permit,
        span: &Span,
    ) -> Permit {
        observe::admitted(span, &principal);
        request.extensions_mut().insert(principal);
        permit.tell_handler(request);
        permit
    }

    fn judge(&self, head: &RequestHead<'_>, record: Arc<KeyRecord>) -> Result<Principal, Denial> {
        let mut facts = RequestFacts::new();
        // Found only where a rule asks for it: behind proxies it means reading headers.
        let rules = &record.key.addresses;
        if !rules.allow.is_empty() || !rules.deny.is_empty() {
            facts.address = self.address.find(head);
            if facts.address.is_none() {
                self.peer_warning.call_once(observe::no_address);
            }
        }
        facts.endpoint = Some((head.method.as_str(), head.original_path()));
        self.auth.judge(record, &facts).map(Principal::new)
    }

    /// Asks the sources in order. The first key of ours counts, but those behind it are
    /// asked all the same: what is there twice is refused wherever it is.
    fn present(&self, head: &RequestHead<'_>) -> Presented {
        let mut presented = Presented::Nothing;
        for source in self.sources.iter() {
            let credential = source.find(head);
            let text = match &credential {
                Credential::Repeated => return Presented::Repeated,
                Credential::Absent => continue,
                _ if presented.is_decided() => continue,
                Credential::Unreadable => &[],
                Credential::Found(text) => text.as_ref(),
            };
            presented = match self.auth.parse(text) {
                Parsed::Key(key) => {
                    let peeked = match self.auth.peek(key) {
                        Peek::Found(record) => Peeked::Record(Some(record)),
                        Peek::Unknown => Peeked::Record(None),
                        _ => Peeked::Lookup(self.auth.find(key)),
                    };
                    Presented::Key(peeked, Place::of(source))
                }
                Parsed::Malformed => Presented::Malformed,
                _ if matches!(presented, Presented::Unusable) || !is_one_word(text) => {
                    Presented::Unusable
                }
                _ => Presented::Foreign,
            };
        }
        presented
    }

    /// Notes that this layer has let a request through without a key, on purpose.
    fn pass_unauthenticated<B>(&self, request: &mut Request<B>) -> Step {
        request.extensions_mut().insert(Unauthenticated);
        Step::Pass(Place::KnownToCaches, Permit::default())
    }

    /// Keeps credentials out of the `Debug` of every layer further in.
    fn mark_sensitive<B>(&self, request: &mut Request<B>) {
        for (name, value) in request.headers_mut() {
            if self.sources.iter().any(|source| source.header() == Some(name)) {
                value.set_sensitive(true);
            }
        }
    }

    /// The refusal of a client that has failed too often.
    fn held_up<B>(&self, request: &Request<B>, span: &Span) -> Option<Refusal> {
        let wait = self.guard()?.held_up(&self.client(request)?)?;
        let refusal = self.refuse(request, span, Denial::TooManyFailures);
        Some(refusal.with_limits(wait, (LimitHeaders::new(), Vec::new())))
    }

    /// Refuses a request whose key nobody has issued, and remembers whose it was.
    fn refuse_unknown<B>(&self, request: &Request<B>, span: &Span) -> Refusal {
        if let Some(guard) = self.guard()
            && let Some(client) = self.client(request)
        {
            guard.failed(&client);
        }
        self.refuse(request, span, Denial::InvalidKey)
    }

    fn guard(&self) -> Option<&dyn Guard> {
        let guard = self.guard.as_deref()?;
        if !self.address_is_known {
            self.guard_warning.call_once(observe::no_guard);
            return None;
        }
        Some(guard)
    }

    /// Whose request it is, where that is known.
    fn client<B>(&self, request: &Request<B>) -> Option<String> {
        let address = self.address.find(&RequestHead::of(request));
        if address.is_none() {
            self.peer_warning.call_once(observe::no_address);
        }
        address.map(network)
    }

    /// Refuses a request whose key is unknown or missing.
    fn refuse<B>(&self, request: &Request<B>, span: &Span, denial: Denial) -> Refusal {
        observe::denied(span, denial, None, &RequestHead::of(request));
        self.refusal(request, denial)
    }

    fn refusal<B>(&self, request: &Request<B>, reason: impl Into<Reason>) -> Refusal {
        Refusal::new(reason, self.shape(request)).told()
    }

    pub(crate) fn shape<B>(&self, request: &Request<B>) -> Shape {
        if self.http_only { Shape::Http } else { Shape::of(&RequestHead::of(request)) }
    }
}

impl Presented {
    fn is_decided(&self) -> bool {
        matches!(self, Self::Key(..) | Self::Malformed)
    }
}

impl Place {
    fn of(source: &dyn KeySource) -> Self {
        match source.header() {
            Some(name) if name == http::header::AUTHORIZATION => Self::KnownToCaches,
            _ => Self::UnknownToCaches,
        }
    }
}

/// Whether a text could be a token of some other system: one word.
fn is_one_word(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',')
}
