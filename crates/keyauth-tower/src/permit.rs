//! What a request is given on its way to the service.

use http::Request;
use keyauth_core::Slots;

use crate::charge::Open;
use crate::limits::LimitHeaders;

/// What a request within its limits and budgets takes along.
#[derive(Default)]
pub(crate) struct Permit {
    /// Its places among those at once.
    pub(crate) slots: Option<Slots>,
    /// How the limits stand, for the response to tell.
    pub(crate) told: LimitHeaders,
    /// What it is charged.
    pub(crate) charge: Option<Open>,
}

impl Permit {
    /// Gives the handler its charge, and its places, which it may keep for longer.
    pub(crate) fn tell_handler<B>(&self, request: &mut Request<B>) {
        if let Some(Open { charge, .. }) = &self.charge {
            request.extensions_mut().insert(charge.clone());
        }
        let Some(slots) = &self.slots else { return };
        // With those of a layer further out, which it is to keep as well.
        let extensions = request.extensions_mut();
        let all = match extensions.remove::<Slots>() {
            Some(outer) => Slots::new((outer, slots.clone())),
            None => slots.clone(),
        };
        extensions.insert(all);
    }
}
