//! What is done to the response of a service.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue,
};
use http::{Response, response};

use keyauth_core::Answered;

use crate::ResponseBody;
use crate::body::Held;
use crate::charge::Open;
use crate::decide::Place;
use crate::layer::Settings;
use crate::permit::Permit;
use crate::refusal::{Refusal, Shape, Style};

/// The last touches to a response, decided with the request.
pub(crate) struct Finish {
    place: Place,
    permit: Permit,
    /// The words for refusals from further in, where they are not the plain ones.
    settings: Option<Arc<Settings>>,
}

impl Finish {
    pub(crate) fn new(place: Place, settings: &Arc<Settings>) -> Self {
        let settings = settings.restyles.then(|| Arc::clone(settings));
        Self { place, permit: Permit::default(), settings }
    }

    pub(crate) fn with_permit(self, permit: Permit) -> Self {
        Self { permit, ..self }
    }

    pub(crate) fn permit(&mut self, permit: Permit) {
        self.permit = permit;
    }

    pub(crate) fn service<B>(&mut self, response: Response<B>) -> Response<ResponseBody<B>> {
        let (mut parts, body) = response.into_parts();
        if self.place == Place::UnknownToCaches {
            mark_private(&mut parts.headers);
        }
        let held = take_along(std::mem::take(&mut self.permit), &mut parts);
        match self.settings.as_ref().and_then(|settings| restyled(&parts, settings)) {
            Some(refused) => refused.map(ResponseBody::refusal),
            None => Response::from_parts(parts, ResponseBody::holding(body, held)),
        }
    }
}

/// Tells in a response how limits stand, and gives what its body is to hold.
pub(crate) fn take_along(permit: Permit, parts: &mut response::Parts) -> Held {
    let Permit { slots, told, charge } = permit;
    let refusal = parts.extensions.get::<Refusal>();
    let charge = charge.map(|Open { hold, .. }| hold);
    if let Some(hold) = &charge {
        // What was refused further in has cost nothing, and neither has what failed.
        hold.charge().answered(match refusal {
            Some(refusal) => Answered::Failed(refusal.status().as_u16()),
            None if fails_in_grpc(parts) => Answered::Failed(500),
            None if parts.status.is_server_error() => Answered::Failed(parts.status.as_u16()),
            None => Answered::Served(parts.status.as_u16()),
        });
    }
    // A refusal by a limit further in tells of that one.
    if !refusal.is_some_and(Refusal::tells_limits) {
        for (name, value) in told {
            parts.headers.insert(name, value);
        }
    }
    Held { slots, charge }
}

/// Whether a service of gRPC says that it is its own fault: unknown, unimplemented, internal,
/// unavailable, data loss, in headers that are trailers at once.
fn fails_in_grpc(parts: &response::Parts) -> bool {
    const FAULTS: [&str; 5] = ["2", "12", "13", "14", "15"];
    let status = parts.headers.get("grpc-status").and_then(|status| status.to_str().ok());
    status.is_some_and(|status| FAULTS.contains(&status))
}

/// A refusal from further in by this layer's words, with what other layers added to it.
///
/// `None` where there is none, where another layer has told it in words of its own, or
/// where somebody in between has made another response of it.
fn restyled(parts: &response::Parts, settings: &Settings) -> Option<Response<Bytes>> {
    const OF_THE_OLD_BODY: [HeaderName; 2] = [CONTENT_LENGTH, CONTENT_ENCODING];
    let old = parts.extensions.get::<Refusal>()?;
    let misshapen = settings.http_only && old.shape() == Shape::Grpc;
    if (old.is_told() && !misshapen) || old.outer_status() != parts.status {
        return None;
    }
    let shape = if settings.http_only { Shape::Http } else { old.shape() };
    let new = old.clone().with_shape(shape).told().render(&settings.style);
    let plain = old.render(&Style::default());
    let (new, body) = new.into_parts();
    let mut headers = parts.headers.clone();
    for name in OF_THE_OLD_BODY.iter().chain(plain.headers().keys()).chain(new.headers.keys()) {
        headers.remove(name);
    }
    for (name, value) in &new.headers {
        headers.append(name, value.clone());
    }
    let mut response = Response::new(body);
    *response.status_mut() = new.status;
    *response.headers_mut() = headers;
    *response.extensions_mut() = parts.extensions.clone();
    response.extensions_mut().extend(new.extensions);
    Some(response)
}

/// Gives a response the protection it would have had with `Authorization` (RFC 9111 section
/// 3.5): shared caches keep it only where the service says in so many words that they may.
fn mark_private(headers: &mut HeaderMap) {
    const DECIDED: [&str; 4] = ["no-store", "private", "public", "s-maxage"];
    let decided = headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let directives = value.to_str().unwrap_or_default().split(',');
        directives
            .map(|directive| directive.split('=').next().unwrap_or_default().trim())
            .any(|directive| DECIDED.iter().any(|decided| directive.eq_ignore_ascii_case(decided)))
    });
    if !decided {
        headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &[&str], expected: &[&str]) {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(value).expect("a value"));
        }
        mark_private(&mut headers);
        let all: Vec<_> = headers.get_all(CACHE_CONTROL).iter().collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn what_the_service_decided_stays() {
        check(&[], &["private"]);
        check(&["max-age=60"], &["max-age=60", "private"]);
        check(&["must-revalidate"], &["must-revalidate", "private"]);
        for decided in ["no-store", "Private", "max-age=60, public", "s-maxage=5"] {
            check(&[decided], &[decided]);
        }
        check(&["max-age=60", "public"], &["max-age=60", "public"]);
    }
}
