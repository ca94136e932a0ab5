//! Refusals in the shape that clients of OpenAI's API understand.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::{Refusal, Shape};

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// Gives a refusal the error body that OpenAI's client libraries understand, for
/// [`KeyAuthLayer::with_refusals`](crate::KeyAuthLayer::with_refusals).
///
/// It is also the example of how to write one: take the response that is ready, leave its
/// status and headers, replace the body and its type, and leave gRPC alone.
///
/// ```
/// use keyauth_core::{Authenticator, MemoryStore};
/// use keyauth_tower::{KeyAuthLayer, openai_error};
///
/// let auth = Authenticator::new(MemoryStore::new());
/// let layer = KeyAuthLayer::new(auth).with_refusals(openai_error);
/// # let _ = layer;
/// ```
pub fn openai_error(refusal: &Refusal, response: &mut Response<Bytes>) {
    if refusal.shape() == Shape::Grpc {
        return;
    }
    let kind = match refusal.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "server_error",
        _ => "invalid_request_error",
    };
    let (message, code) = (refusal.detail(), refusal.code());
    let body = Body { error: Error { message, r#type: kind, param: None, code } };
    *response.body_mut() = serde_json::to_vec(&body).unwrap_or_default().into();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
}
