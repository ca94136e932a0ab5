//! What becomes of a request that is charged: the steps after its limits, and before the service is
//! called.

use std::pin::Pin;

use http::{Method, Request};
use keyauth_core::{Amount, Answered, CallDetails, Exhausted, LedgerError};
use tracing::Span;

use crate::charge::Open;
use crate::decide::{Cleared, Wait};
use crate::layer::Settings;
use crate::permit::Permit;
use crate::refusal::{Reason, Refusal};
use crate::{Charge, Principal, RequestHead, observe};

/// The decision over budgets.
pub(crate) type ReserveFuture =
    Pin<Box<dyn Future<Output = Result<Result<(), Exhausted>, LedgerError>> + Send>>;

impl Settings {
    /// Opens the charge of a request, where there is a meter.
    pub(crate) fn open_charge<B>(
        &self,
        request: &Request<B>,
        principal: &Principal,
    ) -> Option<Open> {
        let head = RequestHead::of(request);
        let (charge, hold) = self.auth.charge(principal, || self.details(&head))?;
        Some(Open { charge: Charge::new(charge, self.shape(request)), hold })
    }

    /// What is recorded of a request.
    fn details(&self, head: &RequestHead<'_>) -> CallDetails {
        // Only what the service has named: paths, and methods of their own, clients make up.
        let method = match *head.method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH => {
                head.method.as_str()
            }
            Method::DELETE | Method::OPTIONS | Method::TRACE => head.method.as_str(),
            _ => "OTHER",
        };
        let route = head.route().map(|route| format!("{method} {route}")).unwrap_or_default();
        CallDetails {
            route: route.into(),
            address: self.address.find(head),
            limit_cost: self.cost.as_ref().map_or(1, |cost| cost(head)),
        }
    }

    /// Has the budgets decide, where the request has a price.
    pub(crate) fn price<B>(
        &self,
        request: &mut Request<B>,
        principal: Principal,
        permit: Permit,
        span: &Span,
    ) -> Cleared {
        let head = RequestHead::of(request);
        let price = self.price.as_ref().map_or(Amount::ZERO, |price| price(&head));
        let budgeted = !principal.record().budgets.is_empty() && price != Amount::ZERO;
        match permit.charge.as_ref().filter(|_| budgeted) {
            Some(Open { charge, .. }) => {
                let charge = charge.clone();
                // The core's own, whose answer is not yet a refusal.
                let reserve = Box::pin(async move { (*charge).reserve(price).await });
                Cleared::Wait(Wait::Budgets(reserve, principal, permit))
            }
            None => Cleared::Pass(self.pass(request, principal, permit, span)),
        }
    }

    /// Decides once the budgets have.
    pub(crate) fn reserved<B>(
        &self,
        request: &mut Request<B>,
        principal: Principal,
        permit: Permit,
        decision: Result<Result<(), Exhausted>, LedgerError>,
        span: &Span,
    ) -> Result<Permit, Refusal> {
        let refused = permit.charge.as_ref().map_or(Ok(()), |open| open.charge.refuse(decision));
        match refused {
            Ok(()) => Ok(self.pass(request, principal, permit, span)),
            Err(refusal) => {
                if let Some(Open { charge, .. }) = &permit.charge {
                    charge.answered(Answered::Failed(refusal.status().as_u16()));
                }
                match refusal.reason() {
                    Reason::Denied(denial) => {
                        let head = RequestHead::of(request);
                        observe::denied(span, denial, Some(principal.record()), &head);
                    }
                    Reason::Unanswered(kind) => observe::undecided(span, kind),
                }
                Err(refusal.told())
            }
        }
    }
}
