//! Principal and charge as arguments of axum's handlers.

use std::convert::Infallible;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use keyauth_core::{Denial, LookupErrorKind};

use crate::refusal::{Refusal, Shape, Style};
use crate::{Charge, Principal, RequestHead, observe};

impl IntoResponse for Refusal {
    /// The refusal in its plain form; a [`KeyAuth`](crate::KeyAuth) further out puts it into
    /// its own words.
    fn into_response(self) -> Response {
        self.render(&Style::default()).map(Body::from)
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Refusal;

    /// Refuses with 401 `missing_key` where nobody was authenticated.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let principal = parts.extensions.get::<Self>().cloned();
        let shape = || Shape::of(&RequestHead::of_parts(parts));
        principal.ok_or_else(|| Refusal::new(Denial::MissingKey, shape()))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl<S: Sync> FromRequestParts<S> for Charge {
    type Rejection = Refusal;

    /// Refuses with 401 `missing_key` where nobody was authenticated, and with 503 where nobody
    /// books what is charged.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        if let Some(charge) = parts.extensions.get::<Self>() {
            return Ok(charge.clone());
        }
        <Principal as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        observe::no_meter();
        Err(Refusal::new(LookupErrorKind::Unavailable, Shape::of(&RequestHead::of_parts(parts))))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Charge {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}
