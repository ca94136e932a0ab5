//! A request without its body.

use std::fmt;

use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

/// What keyauth looks at of a request: everything but the body.
///
/// Borrowed from a request of any body, so that sources, predicates and refusals need no
/// type parameter.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The target as the service sees it; behind a nested router that may be a part only.
    pub uri: &'r Uri,
    /// The protocol.
    pub version: Version,
    /// The headers, or the metadata of a gRPC call.
    pub headers: &'r HeaderMap,
    /// What outer layers and the server attached.
    pub extensions: &'r Extensions,
}

impl<'r> RequestHead<'r> {
    /// Borrows the head of a request.
    pub fn of<B>(request: &'r Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// Borrows the head of a request that was taken apart.
    #[must_use]
    pub fn of_parts(parts: &'r Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }

    /// The path as the client sent it: before axum's nested routers cut it (feature `axum`).
    #[must_use]
    pub fn original_path(&self) -> &'r str {
        #[cfg(feature = "axum")]
        if let Some(axum::extract::OriginalUri(uri)) = self.extensions.get() {
            return uri.path();
        }
        self.uri.path()
    }

    /// The route that axum's router has matched, like `/reports/{id}` (feature `axum`).
    #[must_use]
    pub fn route(&self) -> Option<&'r str> {
        #[cfg(feature = "axum")]
        if let Some(route) = self.extensions.get::<axum::extract::MatchedPath>() {
            return Some(route.as_str());
        }
        None
    }
}

impl fmt::Debug for RequestHead<'_> {
    /// Leaves out query and headers, either of which may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("path", &self.uri.path())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
