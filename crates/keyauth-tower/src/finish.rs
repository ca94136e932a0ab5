//! What is done to the response of a service.

use std::sync::Arc;

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue,
};
use http::{Response, response};

use crate::ResponseBody;
use crate::decide::Place;
use crate::layer::Settings;
use crate::refusal::{Refusal, Shape};

/// The last touches to a response, decided with the request.
pub(crate) struct Finish {
    place: Place,
    /// The words for refusals from further in, where they are not the plain ones.
    settings: Option<Arc<Settings>>,
}

impl Finish {
    pub(crate) fn new(place: Place, settings: &Arc<Settings>) -> Self {
        Self { place, settings: settings.restyles.then(|| Arc::clone(settings)) }
    }

    pub(crate) fn service<B>(&self, response: Response<B>) -> Response<ResponseBody<B>> {
        let (mut parts, body) = response.into_parts();
        if self.place == Place::UnknownToCaches {
            mark_private(&mut parts.headers);
        }
        let refusal = self.settings.as_ref().zip(parts.extensions.get::<Refusal>().cloned());
        match refusal {
            Some((settings, refusal)) => restyle(parts, refusal, settings),
            None => Response::from_parts(parts, ResponseBody::service(body)),
        }
    }
}

/// Tells a refusal from further in by this layer's words, keeping what other layers added.
fn restyle<B>(
    mut parts: response::Parts,
    refusal: Refusal,
    settings: &Settings,
) -> Response<ResponseBody<B>> {
    const OF_THE_OLD_BODY: [HeaderName; 4] = [
        CONTENT_LENGTH,
        CONTENT_ENCODING,
        HeaderName::from_static("grpc-status"),
        HeaderName::from_static("grpc-message"),
    ];
    let shape = if settings.http_only { Shape::Http } else { refusal.shape() };
    let (new, body) = refusal.with_shape(shape).render(&settings.style).into_parts();
    for name in &OF_THE_OLD_BODY {
        parts.headers.remove(name);
    }
    for (name, value) in &new.headers {
        parts.headers.insert(name, value.clone());
    }
    parts.status = new.status;
    parts.extensions.extend(new.extensions);
    Response::from_parts(parts, ResponseBody::refusal(body))
}

/// Gives a response the protection it would have had with `Authorization`: shared caches
/// keep it only where the service says so in so many words (RFC 9111 section 3.5).
fn mark_private(headers: &mut HeaderMap) {
    const DECIDED: [&str; 5] = ["no-store", "private", "public", "must-revalidate", "s-maxage"];
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
        for decided in ["no-store", "Private", "max-age=60, public", "s-maxage=5"] {
            check(&[decided], &[decided]);
        }
        check(&["max-age=60", "public"], &["max-age=60", "public"]);
    }
}
