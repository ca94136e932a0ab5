//! Where in a request the key is looked for.

mod bearer;
mod cookie;
mod header;
mod query;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName};

use crate::RequestHead;
use bearer::Bearer;
use cookie::Cookie;
use header::Header;
use query::Query;
pub(crate) use query::holds_key as query_holds_key;

/// Finds a credential in a request.
///
/// # Contract
///
/// * It judges no key: whatever stands in the place it looks at is what it found.
/// * What is there twice is [`Credential::Repeated`], never the first or the last of them.
pub trait KeySource: Send + Sync + 'static {
    /// Looks for a credential.
    fn find<'r>(&self, head: &RequestHead<'r>) -> Credential<'r>;

    /// The header it reads, to be marked sensitive so that it stays out of logs.
    fn header(&self) -> Option<&HeaderName> {
        None
    }

    /// The query parameter it reads, which is then no leak.
    fn query_parameter(&self) -> Option<&str> {
        None
    }
}

/// What a source found.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credential<'r> {
    /// Nothing: the next source is tried.
    Absent,
    /// Something that may be a key.
    Found(Cow<'r, [u8]>),
    /// Something that was meant as a key and cannot be one.
    Unreadable,
    /// More than one, which is refused because servers and proxies disagree on which counts.
    Repeated,
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Found(_) => "Found(..)",
            Self::Unreadable => "Unreadable",
            Self::Repeated => "Repeated",
        })
    }
}

/// The places a key may be in, in the order they count.
///
/// The first that holds a key of ours decides. By default `Authorization: Bearer`, then
/// `X-Api-Key`.
///
/// ```
/// use keyauth_tower::KeySources;
///
/// let sources = KeySources::new().header("x-api-key").cookie("session");
/// # let _ = sources;
/// ```
#[derive(Clone)]
pub struct KeySources {
    sources: Vec<Arc<dyn KeySource>>,
    places: Vec<String>,
}

impl KeySources {
    /// No source at all: every request is without a key.
    #[must_use]
    pub const fn new() -> Self {
        Self { sources: Vec::new(), places: Vec::new() }
    }

    /// Adds `Authorization: Bearer <key>` (RFC 6750 section 2.1), the scheme in any case.
    #[must_use]
    pub fn bearer(self) -> Self {
        self.push(Bearer, "as `Authorization: Bearer <key>`".to_owned())
    }

    /// Adds a header that holds the key and nothing else.
    ///
    /// # Panics
    ///
    /// Where `name` is no header name.
    #[must_use]
    pub fn header(self, name: &str) -> Self {
        let header = Header::new(name);
        self.push(header, format!("in the header `{name}`"))
    }

    /// Adds a key of gRPC metadata, which is a header by another name.
    ///
    /// # Panics
    ///
    /// Where `name` is no header name.
    #[must_use]
    pub fn metadata(self, name: &str) -> Self {
        let header = Header::new(name);
        self.push(header, format!("in the metadata `{name}`"))
    }

    /// Adds a cookie (RFC 6265 section 4.2).
    ///
    /// Browsers send cookies with requests that other sites cause: protect what changes
    /// something against cross-site request forgery.
    #[must_use]
    pub fn cookie(self, name: &str) -> Self {
        self.push(Cookie::new(name), format!("in the cookie `{name}`"))
    }

    /// Adds a query parameter. Targets end up in logs, histories and `Referer` headers: for
    /// clients that can do nothing else.
    #[must_use]
    pub fn query(self, name: &str) -> Self {
        self.push(Query::new(name), format!("in the query parameter `{name}`"))
    }

    /// Adds a closure that gives the key, or `None` where there is none.
    #[must_use]
    pub fn from_fn<F>(self, find: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    {
        self.source(FromFn(find))
    }

    /// Adds a source of one's own.
    #[must_use]
    pub fn source(self, source: impl KeySource) -> Self {
        self.push(source, "where this service looks for it".to_owned())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn KeySource> {
        self.sources.iter().map(AsRef::as_ref)
    }

    /// Whether keys are taken from `Authorization`.
    pub(crate) fn has_bearer(&self) -> bool {
        self.iter().any(|source| source.header() == Some(&AUTHORIZATION))
    }

    /// Where to send a key, for whoever sent none.
    pub(crate) fn advice(&self) -> String {
        format!("No API key was presented. Send one {}.", self.places.join(" or "))
    }

    fn push(mut self, source: impl KeySource, place: String) -> Self {
        self.sources.push(Arc::new(source));
        self.places.push(place);
        self
    }
}

impl Default for KeySources {
    fn default() -> Self {
        Self::new().bearer().header("x-api-key")
    }
}

impl fmt::Debug for KeySources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySources").field(&self.places).finish()
    }
}

struct FromFn<F>(F);

impl<F> KeySource for FromFn<F>
where
    F: Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
{
    fn find<'r>(&self, head: &RequestHead<'r>) -> Credential<'r> {
        match (self.0)(head) {
            Some(key) => Credential::Found(Cow::Owned(key.into_bytes())),
            None => Credential::Absent,
        }
    }
}
