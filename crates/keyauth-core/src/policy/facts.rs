//! What a request brings to the decision.

use std::net::IpAddr;

use crate::Scope;

/// What is known of a request when its key is judged.
///
/// Borrowed, so that the caller's own copies serve. Facts left empty pass where the record
/// has no rule about them, and fail where it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFacts<'a> {
    /// Where the request comes from, behind all trusted proxies.
    pub address: Option<IpAddr>,
    /// The method and the path as the client sent them, undecoded.
    pub endpoint: Option<(&'a str, &'a str)>,
    /// The resource the request is about.
    pub resource: Option<&'a str>,
    /// Scopes the key must have, all of them.
    pub scopes: &'a [Scope],
}

impl<'a> RequestFacts<'a> {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The client's address.
    #[must_use]
    pub const fn with_address(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The method and the undecoded path.
    #[must_use]
    pub const fn with_endpoint(self, method: &'a str, path: &'a str) -> Self {
        Self { endpoint: Some((method, path)), ..self }
    }

    /// The resource, by the name that resource rules use.
    #[must_use]
    pub const fn with_resource(self, resource: &'a str) -> Self {
        Self { resource: Some(resource), ..self }
    }

    /// Scopes the key must have.
    #[must_use]
    pub const fn with_scopes(self, scopes: &'a [Scope]) -> Self {
        Self { scopes, ..self }
    }
}
