//! What any key may ask about itself.

use axum::Json;
use keyauth_tower::Principal;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::responses::Refused;
use crate::problem::ApiError;
use crate::read::{NoMore, Query};
use crate::wire::VerifiedKey;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read_own_key))
}

/// Read whose key this is.
///
/// Any key may ask that. What it has used is below, at `/v1/me/usage`.
#[utoipa::path(
    get, path = "/v1/me", tag = "own",
    responses((status = 200, description = "The key that asks.", body = VerifiedKey), Refused),
    security(("key" = []))
)]
async fn read_own_key(
    who: Principal,
    Query(..): Query<NoMore>,
) -> Result<Json<VerifiedKey>, ApiError> {
    Ok(Json((&*who).into()))
}
