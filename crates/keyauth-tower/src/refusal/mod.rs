//! How a refusal is told.

mod detail;
mod grpc;
mod openai;
mod problem;
mod style;

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode, Version};
use keyauth_core::{Denial, LookupErrorKind, Scope};

use crate::RequestHead;
use crate::limits::{LimitHeaders, rounded_up};
pub use openai::openai_error;
pub(crate) use style::Style;

/// Why and how a request is refused. Also in the extensions of the response that tells it,
/// for outer layers to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    shape: Shape,
    scopes: Vec<Scope>,
    retry_after: Option<Duration>,
    /// How limits stand, and which are exceeded.
    limits: LimitHeaders,
    exceeded: Vec<String>,
    told: bool,
}

/// Why a request is refused: "no" and "no answer" are not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The answer is no.
    Denied(Denial),
    /// There is no answer.
    Unanswered(LookupErrorKind),
}

/// Which protocol a refusal is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shape {
    /// A status and a body.
    Http,
    /// Status 200 without a body, the answer in `grpc-status`: a trailers-only response.
    Grpc,
}

impl From<Denial> for Reason {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<LookupErrorKind> for Reason {
    fn from(kind: LookupErrorKind) -> Self {
        Self::Unanswered(kind)
    }
}

impl Shape {
    /// The gRPC shape for what can only be a gRPC call: POST over HTTP/2 with content type
    /// `application/grpc`, alone or followed by `+` or `;`.
    ///
    /// Anything else that got it would see a 200, and nginx's `auth_request` lets in
    /// whoever gets a 200.
    pub(crate) fn of(head: &RequestHead<'_>) -> Self {
        const GRPC: &[u8] = b"application/grpc";
        let mut content_types = head.headers.get_all(http::header::CONTENT_TYPE).iter();
        let only = content_types.next().filter(|_| content_types.next().is_none());
        let is_grpc = only
            .and_then(|value| value.as_bytes().split_at_checked(GRPC.len()))
            .is_some_and(|(kind, rest)| {
                kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';'))
            });
        if is_grpc && head.method == Method::POST && head.version == Version::HTTP_2 {
            Self::Grpc
        } else {
            Self::Http
        }
    }
}

impl Refusal {
    /// The refusal that tells a reason in HTTP, for those who tell it in words of their own.
    #[must_use]
    pub fn of(reason: impl Into<Reason>) -> Self {
        Self::new(reason, Shape::Http)
    }

    pub(crate) fn new(reason: impl Into<Reason>, shape: Shape) -> Self {
        Self {
            reason: reason.into(),
            shape,
            scopes: Vec::new(),
            retry_after: None,
            limits: LimitHeaders::new(),
            exceeded: Vec::new(),
            told: false,
        }
    }

    /// Tells which scopes were asked for, where one of them is missing.
    #[must_use]
    pub fn with_scopes(self, scopes: &[Scope]) -> Self {
        Self { scopes: scopes.to_vec(), ..self }
    }

    pub(crate) fn with_limits(
        self,
        retry_after: Duration,
        (limits, exceeded): (LimitHeaders, Vec<String>),
    ) -> Self {
        Self { retry_after: Some(retry_after), limits, exceeded, ..self }
    }

    pub(crate) fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    pub(crate) const fn tells_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// In a layer's own words, which layers further out leave as they are.
    pub(crate) fn told(self) -> Self {
        Self { told: true, ..self }
    }

    pub(crate) const fn is_told(&self) -> bool {
        self.told
    }

    pub(crate) fn with_shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// In which protocol.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The scopes that were asked for, where one of them is missing.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The names of the limits that are exceeded; before those that count more than the key's
    /// own use it says whose, as in `owner/minute`.
    #[must_use]
    pub fn exceeded_limits(&self) -> &[String] {
        &self.exceeded
    }

    /// When to try again, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The stable name that programs branch on, like `key_expired`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.reason {
            Reason::Denied(denial) => denial.code(),
            Reason::Unanswered(kind) => kind.code(),
        }
    }

    /// A sentence for people.
    #[must_use]
    pub const fn detail(&self) -> &'static str {
        detail::detail(self.reason)
    }

    /// The status that tells it in HTTP.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        let Reason::Denied(denial) = self.reason else {
            return StatusCode::SERVICE_UNAVAILABLE;
        };
        match denial {
            Denial::InvalidRequest => StatusCode::BAD_REQUEST,
            Denial::AddressDenied
            | Denial::ScopeDenied
            | Denial::EndpointDenied
            | Denial::ResourceDenied
            | Denial::GroupInactive
            | Denial::GroupDenied
            | Denial::SubscriptionRequired => StatusCode::FORBIDDEN,
            Denial::RateLimited
            | Denial::ConcurrencyLimited
            | Denial::TooManyFailures
            | Denial::BudgetExhausted => StatusCode::TOO_MANY_REQUESTS,
            // Whatever a later version denies for is nothing to let in for.
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The status that tells it in gRPC, by its number.
    #[must_use]
    pub fn grpc_status(&self) -> u8 {
        match self.status() {
            StatusCode::BAD_REQUEST => 3,
            StatusCode::FORBIDDEN => 7,
            StatusCode::TOO_MANY_REQUESTS => 8,
            StatusCode::SERVICE_UNAVAILABLE => 14,
            _ => 16,
        }
    }

    /// The status of the response, which in gRPC is always 200.
    pub(crate) const fn outer_status(&self) -> StatusCode {
        match self.shape {
            Shape::Http => self.status(),
            Shape::Grpc => StatusCode::OK,
        }
    }

    /// The response that tells it, by the style's words.
    pub(crate) fn render(&self, style: &Style) -> Response<Bytes> {
        let mut response = match self.shape {
            Shape::Http => problem::render(self, style),
            Shape::Grpc => grpc::render(self),
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(rounded_up(after).max(1)));
        }
        if self.shape == Shape::Http {
            // In gRPC these headers are trailers, where the fields must not be.
            headers.extend(self.limits.iter().cloned());
        }
        if let Some(reshape) = &style.reshape {
            reshape(self, &mut response);
        }
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// As the error of a tonic service's method.
#[cfg(feature = "tonic")]
impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        let code = tonic::Code::from_i32(refusal.grpc_status().into());
        Self::new(code, format!("{}: {}", refusal.code(), refusal.detail()))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn every_reason_has_its_status() {
        // The table of refusals, row by row.
        for (denial, http, grpc) in [
            (Denial::MissingKey, 401, 16),
            (Denial::InvalidKey, 401, 16),
            (Denial::KeyDisabled, 401, 16),
            (Denial::KeyRevoked, 401, 16),
            (Denial::KeyExpired, 401, 16),
            (Denial::KeyNotYetValid, 401, 16),
            (Denial::OwnerInactive, 401, 16),
            (Denial::TenantInactive, 401, 16),
            (Denial::InvalidRequest, 400, 3),
            (Denial::AddressDenied, 403, 7),
            (Denial::ScopeDenied, 403, 7),
            (Denial::EndpointDenied, 403, 7),
            (Denial::ResourceDenied, 403, 7),
            (Denial::GroupInactive, 403, 7),
            (Denial::GroupDenied, 403, 7),
            (Denial::SubscriptionRequired, 403, 7),
            (Denial::RateLimited, 429, 8),
            (Denial::ConcurrencyLimited, 429, 8),
            (Denial::TooManyFailures, 429, 8),
            (Denial::BudgetExhausted, 429, 8),
        ] {
            check(denial.into(), http, grpc);
        }
        check(LookupErrorKind::Unavailable.into(), 503, 14);
        check(LookupErrorKind::Overloaded.into(), 503, 14);
    }

    #[track_caller]
    fn check(reason: Reason, http: u16, grpc: u8) {
        let style = Style::default();
        let refusal = Refusal::new(reason, Shape::Http);
        assert_eq!((refusal.status().as_u16(), refusal.grpc_status()), (http, grpc), "{reason:?}");
        let response = refusal.render(&style);
        assert_eq!(response.status(), refusal.status());
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let challenged = http == 401 || reason == Denial::ScopeDenied.into();
        assert_eq!(response.headers().contains_key("www-authenticate"), challenged);
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(body["code"], refusal.code());
        assert_eq!(body["status"], http);
        assert_eq!(response.extensions().get::<Refusal>(), Some(&refusal));

        let refusal = refusal.with_shape(Shape::Grpc);
        let response = refusal.render(&style);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], grpc.to_string());
        let message = response.headers()["grpc-message"].to_str().expect("ASCII");
        assert!(message.starts_with(refusal.code()) && !message.contains('%'), "{message}");
        assert!(response.body().is_empty());
    }

    #[test]
    fn retry_after_is_rounded_up_and_above_zero() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_999, "60")] {
            let mut refusal = Refusal::new(Denial::RateLimited, Shape::Http);
            refusal.retry_after = Some(Duration::from_millis(millis));
            assert_eq!(refusal.render(&Style::default()).headers()["retry-after"], seconds);
        }
    }

    #[test]
    fn the_grpc_shape_is_for_grpc_alone() {
        // C17
        let shape = |method, version, content_type: &str| {
            let request = Request::builder().method(method).version(version);
            let request = request.header("content-type", content_type).body(()).expect("a request");
            Shape::of(&RequestHead::of(&request))
        };
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
            "Application/gRPC",
        ] {
            assert_eq!(shape("POST", Version::HTTP_2, grpc), Shape::Grpc, "{grpc}");
            assert_eq!(shape("GET", Version::HTTP_2, grpc), Shape::Http, "{grpc}");
            assert_eq!(shape("POST", Version::HTTP_11, grpc), Shape::Http, "{grpc}");
        }
        for other in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "application/json",
            "",
        ] {
            assert_eq!(shape("POST", Version::HTTP_2, other), Shape::Http, "{other}");
        }
    }
}
