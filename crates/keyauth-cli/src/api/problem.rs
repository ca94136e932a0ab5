//! What a no says.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::shown::plain;
use crate::told::Failure;

/// As much of problem details (RFC 9457) as is told.
#[derive(Deserialize)]
struct Problem {
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
    let message = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if !problem.errors.is_empty() => {
            let field = |error: &FieldProblem| format!("{}: {}", error.field, error.detail);
            problem.errors.iter().map(field).collect::<Vec<_>>().join("\n         ")
        }
        Ok(Problem { detail: Some(text), .. } | Problem { title: Some(text), .. }) => text,
        _ => format!("it is answered {status}, and not by a management API of keyauth"),
    };
    let message = plain(&message);
    match status {
        StatusCode::BAD_REQUEST => Failure::usage(message),
        StatusCode::UNAUTHORIZED => Failure::not_let_in(&message),
        status if status.is_server_error() => Failure::no_answer(message),
        _ => Failure::failed(message),
    }
}
