//! What a path names.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use keyauth_core::Problem;
use serde::de::DeserializeOwned;

use crate::problem::ApiError;

/// Ids in a path.
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(ids) = path.map_err(|_| {
            Problem::new(
                "path",
                "has an id that none can be: keys have UUIDs, all others 1 to 128 \
                                  printable ASCII characters without spaces",
            )
        })?;
        Ok(Self(ids))
    }
}
