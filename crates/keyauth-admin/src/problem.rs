//! Answers to what cannot be answered, as `application/problem+json` (RFC 9457).

use std::fmt;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyauth_core::{LedgerError, LookupError, Problem, StoreError, StoreErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// Why there is no answer. As a response it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiError {
    /// The question is wrong: 400, naming what of it is.
    Invalid(Vec<Problem>),
    /// Whoever asks lacks a scope: 403, naming it.
    ScopeDenied(&'static str),
    /// Whoever asks would give others scopes that are not its own: 403, naming them.
    GrantDenied(Vec<String>),
    /// It is not there, or not in this tenant: 404, alike.
    NotFound,
    /// It can be asked otherwise: 405.
    MethodNotAllowed,
    /// It cannot be as things are: 409.
    Conflict {
        /// What programs branch on.
        code: &'static str,
        /// What to do.
        detail: String,
    },
    /// What was sent is larger than anything that is asked for: 413.
    TooLarge,
    /// It is no JSON: 415.
    UnsupportedMediaType,
    /// Another request has the same `Idempotency-Key`: 422.
    RequestNameTaken,
    /// It was tried too often: 429.
    TooManyGuesses {
        /// When to try again.
        retry_after: Duration,
    },
    /// Nobody could say: 503.
    Unavailable,
}

/// The members of a problem (RFC 9457 section 3).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What programs branch on.
    #[schema(example = "not_found")]
    code: String,
    /// What to do, for people.
    detail: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
    /// The limits that are used up.
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    violated_policies: Vec<String>,
}

/// One field and what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// The field, like `addresses.allow[3]`.
    field: String,
    /// What is wrong, going on from its name.
    detail: String,
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let conflict = |code| Self::Conflict { code, detail: error.to_string() };
        match error.kind() {
            StoreErrorKind::InvalidInput(input) => Self::Invalid(input.problems().to_vec()),
            StoreErrorKind::NotFound => Self::NotFound,
            StoreErrorKind::InUse { .. } => conflict("group_in_use"),
            StoreErrorKind::Taken => conflict("key_taken"),
            StoreErrorKind::TooManyKeys { .. } => conflict("too_many_keys"),
            StoreErrorKind::Revoked => conflict("key_revoked"),
            StoreErrorKind::Repeated { .. } => conflict("repeated"),
            StoreErrorKind::RequestNameTaken => Self::RequestNameTaken,
            StoreErrorKind::TooManyGuesses { retry_after } => {
                Self::TooManyGuesses { retry_after: *retry_after }
            }
            _ => Self::unavailable(&error),
        }
    }
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        Self::unavailable(&error)
    }
}

impl ApiError {
    pub(crate) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(error, "a request cannot be answered");
        Self::Unavailable
    }

    /// The status that tells it.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::ScopeDenied(_) | Self::GrantDenied(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestNameTaken => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyGuesses { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What programs branch on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_request",
            Self::ScopeDenied(_) => "scope_denied",
            Self::GrantDenied(_) => "grant_denied",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict { code, .. } => code,
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RequestNameTaken => "idempotency_key_taken",
            Self::TooManyGuesses { .. } => "too_many_guesses",
            Self::Unavailable => "unavailable",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Invalid(_) => "The request is wrong; see errors.".into(),
            Self::ScopeDenied(scope) => format!("The API key lacks the scope {scope}."),
            Self::GrantDenied(scopes) => {
                format!("Only who has these scopes can give them: {}.", scopes.join(" "))
            }
            Self::NotFound => "There is no such thing here.".into(),
            Self::MethodNotAllowed => "This can be asked otherwise; see Allow.".into(),
            Self::Conflict { detail, .. } => detail.clone(),
            Self::TooLarge => "The body is larger than 2 MiB.".into(),
            Self::UnsupportedMediaType => {
                "The body must be JSON, and Content-Type application/json.".into()
            }
            Self::RequestNameTaken => {
                "Another request has the same Idempotency-Key; take a new one.".into()
            }
            Self::TooManyGuesses { .. } => {
                "Too many custom keys were chosen that are in use.".into()
            }
            Self::Unavailable => "There is no answer at present. Try again.".into(),
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyGuesses { retry_after } => Some(*retry_after),
            Self::Unavailable => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Invalid(problems) = self else { return f.write_str(&self.detail()) };
        let problems: Vec<_> = problems.iter().map(Problem::to_string).collect();
        f.write_str(&problems.join("; "))
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let problems = if let Self::Invalid(problems) = &self { problems.as_slice() } else { &[] };
        let field = |problem: &Problem| FieldProblem {
            field: problem.field().to_owned(),
            detail: problem.message().to_owned(),
        };
        let body = ProblemBody {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: self.code().to_owned(),
            detail: self.detail(),
            errors: problems.iter().map(field).collect(),
            violated_policies: Vec::new(),
        };
        // Strings and a number: there is nothing in it that could fail to serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after() {
            // Rounded up, so that nobody comes back a moment too early.
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            headers.insert(RETRY_AFTER, seconds.max(1).into());
        }
        if let Self::ScopeDenied(scope) = self {
            // RFC 6750 section 3.1.
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            headers.extend(HeaderValue::try_from(challenge).ok().map(|it| (WWW_AUTHENTICATE, it)));
        }
        response
    }
}
