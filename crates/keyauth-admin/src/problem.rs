//! Answers to what cannot be answered, as `application/problem+json` (RFC 9457).

use std::fmt;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyauth_core::{Problem, StoreError, StoreErrorKind};
use serde::Serialize;

/// Why there is no answer. As a response it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageError {
    /// The question is wrong: 400, naming what of it is.
    Invalid(Vec<Problem>),
    /// Nobody could say: 503.
    Unavailable,
}

#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Field<'a>>,
}

#[derive(Serialize)]
struct Field<'a> {
    field: &'a str,
    detail: &'a str,
}

impl From<StoreError> for UsageError {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::InvalidInput(input) => Self::Invalid(input.problems().to_vec()),
            _ => Self::unavailable(&error),
        }
    }
}

impl UsageError {
    fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(error, "usage cannot be read");
        Self::Unavailable
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problems) => {
                let problems: Vec<_> = problems.iter().map(Problem::to_string).collect();
                f.write_str(&problems.join("; "))
            }
            Self::Unavailable => f.write_str("usage cannot be read at present"),
        }
    }
}

impl std::error::Error for UsageError {}

impl IntoResponse for UsageError {
    fn into_response(self) -> Response {
        let (status, code, detail, problems) = match &self {
            Self::Invalid(problems) => {
                (StatusCode::BAD_REQUEST, "invalid_request", "see errors", problems.as_slice())
            }
            Self::Unavailable => {
                let detail = "usage cannot be read at present; try again";
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail, [].as_slice())
            }
        };
        let field = |problem| Field { field: Problem::field(problem), detail: problem.message() };
        let body = Body {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail,
            errors: problems.iter().map(field).collect(),
        };
        // Strings and a number: there is nothing in it that could fail to serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self, Self::Unavailable) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
