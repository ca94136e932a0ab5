//! Scopes that a route asks for.

use std::sync::Arc;

use keyauth_core::{Denial, Scope};

use super::{Requirement, impl_layer};
use crate::{Principal, RequestHead};

/// Lets through keys that have a scope, or all of several.
///
/// A layer for single routes: `get(reports).layer(RequireScope::new("reports:read"))`.
#[derive(Clone, Debug)]
pub struct RequireScope(Arc<[Scope]>);

impl RequireScope {
    /// Keys must have this scope.
    ///
    /// # Panics
    ///
    /// Where the text is no scope, so that a slip shows when the service starts.
    #[must_use]
    pub fn new(scope: &str) -> Self {
        Self::all([scope])
    }

    /// Keys must have all of these scopes.
    ///
    /// # Panics
    ///
    /// Where a text is no scope.
    #[must_use]
    #[expect(clippy::expect_used, reason = "scopes in the program's text, as documented")]
    pub fn all<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let scopes = scopes.into_iter().map(Scope::new);
        Self(scopes.map(|scope| scope.expect("a route must ask for valid scopes")).collect())
    }
}

impl Requirement for RequireScope {
    fn check(&self, caller: &Principal, _: &RequestHead<'_>) -> Result<(), Denial> {
        if caller.scopes().contains_all(&self.0) { Ok(()) } else { Err(Denial::ScopeDenied) }
    }

    fn scopes(&self) -> &[Scope] {
        &self.0
    }
}

impl_layer!(RequireScope);
