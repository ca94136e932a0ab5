//! Bodies.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use keyauth_core::Problem;
use serde::de::{DeserializeOwned, DeserializeSeed};

use super::problem_of;
use super::unique::{At, Unique};
use crate::problem::ApiError;

/// A JSON object, and the text it was read from.
pub(crate) struct Body<T> {
    pub(crate) value: T,
    pub(crate) text: String,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
                    _ => Problem::new("body", "was cut off").into(),
                }
            })?;
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| Problem::new("body", "must be JSON in UTF-8"))?.to_owned();
        Ok(Self { value: read(&text)?, text })
    }
}

/// `application/json`, whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let mut problems = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let unique = Unique { at: &At::Top, problems: &mut problems };
    if let Err(error) = unique.deserialize(&mut json).and_then(|()| json.end()) {
        // Where it is no JSON, the message says where and repeats nothing.
        return Err(Problem::new("body", format!("is no JSON: {error}")).into());
    }
    if !problems.is_empty() {
        return Err(ApiError::Invalid(problems));
    }
    // Structs can be read from lists too, which nobody means.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::new("body", "must be an object").into());
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json);
    read.map_err(|error| problem_of(error.path(), error.inner()).into())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Vec<Inner>,
        #[serde(default)]
        any: serde_json::Value,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Inner {
        count: u32,
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let Err(ApiError::Invalid(problems)) = read::<Outer>(text) else {
            panic!("{text} is read")
        };
        let told: Vec<_> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(told.join("; "), expected, "{text}");
    }

    #[test]
    fn what_is_wrong_is_named_and_not_repeated() {
        assert!(read::<Outer>(r#"{"name":"a","inner":[{"count":1}],"any":{"a":[{}]}}"#).is_ok());
        check(r#"{"name":"a","nam":1}"#, "nam is unknown");
        check(r#"{"name":"a","inner":[{"count":1},{"cuont":1}]}"#, "inner[1].cuont is unknown");
        check("{}", "name is required");
        check(r#"{"name":"a","inner":[{}]}"#, "inner[0].count is required");
        check(r#"{"name":7}"#, "name must be a string");
        check(
            r#"{"name":"a","inner":[{"count":"sk_live_x, expected y"}]}"#,
            "inner[0].count must be u32",
        );
        check(r#"{"name":"a","inner":[{"count":-1}]}"#, "inner[0].count must be u32");
        check("[]", "body must be an object");
        check("", "body is no JSON: EOF while parsing a value at line 1 column 0");
        check(r#"{"name":"a"} {}"#, "body is no JSON: trailing characters at line 1 column 14");
    }

    #[test]
    fn names_are_there_once_at_every_depth() {
        check(r#"{"name":"a","name":"b"}"#, "name is there twice");
        check(r#"{"name":"a","n\u0061me":"b"}"#, "name is there twice");
        check(
            r#"{"name":"a","any":{"x":[{"y":1,"y":2}]},"inner":[{"count":1,"count":1}]}"#,
            "any.x[0].y is there twice; inner[0].count is there twice",
        );
    }

    #[test]
    fn deep_ones_are_refused() {
        let deep = format!(r#"{{"name":"a","any":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
        check(&deep, "body is no JSON: recursion limit exceeded at line 1 column 145");
    }

    #[test]
    fn odd_names_are_shown_without_what_is_odd() {
        check("{\"name\":\"a\",\"\\u001b[31m\\r\\n\\u0000x\":1}", "[31mx is unknown");
    }
}
