//! Refusals as `application/problem+json` (RFC 9457).

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use keyauth_core::{Denial, Scope};
use serde::Serialize;

use super::{Reason, Refusal, Style};

/// The members of a problem. Without a `type` the title is the status's own phrase
/// (RFC 9457 section 4.2.1); `code` is what programs branch on.
#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    /// As the draft on rate limit fields names it.
    #[serde(rename = "violated-policies", skip_serializing_if = "<[String]>::is_empty")]
    violated_policies: &'a [String],
}

/// The body of most refusals, where somebody tries keys. It is copied: to share it, all cores would
/// have to count who does.
static INVALID_KEY: LazyLock<Vec<u8>> =
    LazyLock::new(|| body(&Refusal::of(Denial::InvalidKey), &Style::default()));

pub(super) fn render(refusal: &Refusal, style: &Style) -> Response<Bytes> {
    let is_usual = refusal.reason == Reason::Denied(Denial::InvalidKey);
    let body = if is_usual { INVALID_KEY.clone() } else { body(refusal, style) };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(challenge) = challenge(refusal, style) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn body(refusal: &Refusal, style: &Style) -> Vec<u8> {
    let status = refusal.status();
    let missing = refusal.reason == Reason::Denied(Denial::MissingKey);
    let problem = Problem {
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        code: refusal.code(),
        detail: if missing { &style.advice } else { refusal.detail() },
        violated_policies: &refusal.exceeded,
    };
    // As long as most are.
    let mut body = Vec::with_capacity(256);
    // Strings and a number: there is nothing in it that could fail to serialise.
    let _ = serde_json::to_writer(&mut body, &problem);
    body
}

/// The challenge of RFC 6750 section 3: without an error for whoever presented nothing.
fn challenge(refusal: &Refusal, style: &Style) -> Option<HeaderValue> {
    let scheme = &style.challenge;
    let challenge = match refusal.reason {
        Reason::Denied(Denial::MissingKey) => scheme.clone(),
        Reason::Denied(Denial::ScopeDenied) if refusal.scopes.is_empty() => {
            format!("{scheme}, error=\"insufficient_scope\"")
        }
        Reason::Denied(Denial::ScopeDenied) => {
            let scopes: Vec<_> = refusal.scopes.iter().map(Scope::as_str).collect();
            format!("{scheme}, error=\"insufficient_scope\", scope=\"{}\"", scopes.join(" "))
        }
        Reason::Denied(_) if refusal.status() == StatusCode::UNAUTHORIZED => {
            return HeaderValue::try_from(&style.invalid_token).ok();
        }
        _ => return None,
    };
    HeaderValue::try_from(challenge).ok()
}
