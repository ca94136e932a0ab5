//! What a no says.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::shown::plain;
use crate::told::Failure;

/// As much of problem details (RFC 9457) as is told.
#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    detail: Option<String>,
    title: Option<String>,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

#[derive(Deserialize)]
struct FieldProblem {
    field: String,
    detail: String,
}

pub(super) fn read(status: StatusCode, body: &[u8]) -> Failure {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        let message = format!("it is answered {status}, and not by a management API of keyauth");
        return match status.is_server_error() {
            true => Failure::no_answer(message),
            false => Failure::failed(message),
        };
    };
    let message = if problem.errors.is_empty() {
        problem.detail.or(problem.title).unwrap_or_else(|| format!("it is answered {status}"))
    } else {
        let field = |error: &FieldProblem| format!("{}: {}", error.field, error.detail);
        problem.errors.iter().map(field).collect::<Vec<_>>().join("; ")
    };
    let message = plain(&message);
    match status {
        StatusCode::BAD_REQUEST => Failure::usage(message),
        StatusCode::UNAUTHORIZED => {
            Failure::failed(format!("the key that asks is refused: {message}"))
        }
        StatusCode::CONFLICT | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Failure::denied(message)
        }
        StatusCode::FORBIDDEN if problem.code.as_deref() == Some("grant_denied") => {
            Failure::denied(message)
        }
        status if status.is_server_error() => Failure::no_answer(message),
        _ => Failure::failed(message),
    }
}
