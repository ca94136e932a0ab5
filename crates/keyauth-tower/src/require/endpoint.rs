//! Routes that only keys naming them may call.

use keyauth_core::Denial;

use super::{Requirement, impl_layer};
use crate::{Principal, RequestHead};

/// Lets through keys with an endpoint rule that names the route.
///
/// A key without endpoint rules may call everything, except routes behind this layer: for
/// those that must be granted one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequireEndpoint;

impl RequireEndpoint {
    /// Keys must have a rule that names the called method and path.
    #[must_use]
    pub const fn named() -> Self {
        Self
    }
}

impl Requirement for RequireEndpoint {
    fn check(&self, caller: &Principal, head: &RequestHead<'_>) -> Result<(), Denial> {
        // Ambiguous paths were refused already, since there is a rule if it names this one.
        let rules = &caller.record().key.endpoints;
        let named = rules.names(head.method.as_str(), head.original_path());
        if named { Ok(()) } else { Err(Denial::EndpointDenied) }
    }
}

impl_layer!(RequireEndpoint);
