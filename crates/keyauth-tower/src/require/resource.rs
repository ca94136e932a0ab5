//! Resources that a route is about.

use std::fmt;
use std::sync::Arc;

use keyauth_core::Denial;

use super::{Requirement, impl_layer};
use crate::{Principal, RequestHead};

type Find = dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync;

/// Lets through keys whose resource rules allow the resource that a request is about.
///
/// For resources named in path or headers. A handler that reads the name from the body asks
/// the [`Principal`]: `who.resources().admit("gpt-4o")`.
#[derive(Clone)]
pub struct RequireResource(Arc<Find>);

impl RequireResource {
    /// Keys must be allowed the resource that the closure finds. Where it finds none, only
    /// keys without resource rules pass.
    pub fn from_fn<F>(find: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    {
        Self(Arc::new(find))
    }
}

impl Requirement for RequireResource {
    fn check(&self, caller: &Principal, head: &RequestHead<'_>) -> Result<(), Denial> {
        let rules = caller.resources();
        let allowed = match (self.0)(head) {
            Some(resource) => rules.admit(&resource),
            None => rules.is_empty(),
        };
        if allowed { Ok(()) } else { Err(Denial::ResourceDenied) }
    }
}

impl fmt::Debug for RequireResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequireResource(..)")
    }
}

impl_layer!(RequireResource);
