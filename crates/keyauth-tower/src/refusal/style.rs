//! The words a layer's refusals are told in.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::Refusal;
use crate::KeySources;

pub(crate) type Reshape = dyn Fn(&Refusal, &mut Response<Bytes>) + Send + Sync;

/// What a layer's refusals say beside their reason.
#[derive(Clone)]
pub(crate) struct Style {
    /// The scheme and realm of `WWW-Authenticate`.
    pub(crate) challenge: String,
    /// The challenge for a key that is not good, which most refusals have.
    pub(crate) invalid_token: String,
    /// What to tell whoever sent no key.
    pub(crate) advice: String,
    /// What the application does to a response that is ready.
    pub(crate) reshape: Option<Arc<Reshape>>,
}

impl Style {
    /// The words for a layer that takes keys from `sources`.
    pub(crate) fn new(realm: &str, sources: &KeySources) -> Self {
        // A challenge must name a scheme that would be accepted (RFC 9110 section 11.6.1).
        let scheme = if sources.has_bearer() { "Bearer" } else { "ApiKey" };
        let challenge = format!("{scheme} realm=\"{realm}\"");
        let invalid_token = format!("{challenge}, error=\"invalid_token\"");
        Self { challenge, invalid_token, advice: sources.advice(), reshape: None }
    }
}

impl Default for Style {
    fn default() -> Self {
        Self::new(Self::DEFAULT_REALM, &KeySources::default())
    }
}

impl Style {
    pub(crate) const DEFAULT_REALM: &'static str = "api";
}

impl fmt::Debug for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Style")
            .field("challenge", &self.challenge)
            .field("reshape", &self.reshape.is_some())
            .finish_non_exhaustive()
    }
}
