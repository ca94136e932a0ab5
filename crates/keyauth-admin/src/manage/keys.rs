//! Keys.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use keyauth_core::{
    GroupId, KeyId, KeyOrder, KeyPosition, KeyQuery, KeyStatus, OwnerId, Problem, Rotation,
    StoreError, StoreErrorKind,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::acting::{IdempotencyKey, Named, TenantParam};
use super::path::At;
use super::responses::{BodyRefused, Conflicts, NameTaken, NotThere, Refused};
use super::scope::needs::{KeysRead, KeysWrite};
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::{Body, Query};
use crate::wire::{
    ImportBody, IssuedView, KeyUpdateBody, KeyView, NewKeyBody, PageParams, PageView, RevokedView,
    RotationBody,
};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_keys, issue_key))
        .routes(routes!(import_key))
        .routes(routes!(read_key, update_key, delete_key))
        .routes(routes!(rotate_key))
        .routes(routes!(revoke_key))
        .routes(routes!(enable_key))
        .routes(routes!(disable_key))
}

/// Which keys to read, and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct KeyParams {
    /// Only those of this owner.
    #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    owner: Option<String>,
    /// Only those bound to this group.
    #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    group: Option<String>,
    /// Only those of this status: `active`, `disabled` or `revoked`.
    #[param(pattern = "^(active|disabled|revoked)$")]
    status: Option<String>,
    /// The `oldest` first, as it is otherwise; the `newest`; by `name` or `hint`; or the first to
    /// expire by `expiry`, without those that never do. Keys of one owner, group or status can be
    /// read in the order of issue alone.
    #[param(pattern = "^(oldest|newest|name|hint|expiry)$")]
    order: Option<String>,
    /// Only those whose name or hint, whichever is the order, begins so.
    #[param(max_length = 256)]
    prefix: Option<String>,
    /// Which tenant.
    #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    #[expect(dead_code, reason = "read where it decides")]
    tenant: Option<String>,
}

impl KeyParams {
    fn query(self, acting: &Acting<KeysRead>, page: &PageParams) -> Result<KeyQuery, ApiError> {
        let (count, after) = page.read::<KeyPosition>()?;
        let order = match (self.order.as_deref(), self.prefix) {
            (Some("name"), prefix) => KeyOrder::Name { prefix: prefix.unwrap_or_default() },
            (Some("hint"), prefix) => KeyOrder::Hint { prefix: prefix.unwrap_or_default() },
            (_, Some(_)) => {
                return Err(Problem::new("prefix", "needs the order name or hint").into());
            }
            (None | Some("oldest"), None) => KeyOrder::Oldest,
            (Some("newest"), None) => KeyOrder::Newest,
            (Some("expiry"), None) => KeyOrder::Expiry,
            (Some(_), None) => {
                let message = "must be oldest, newest, name, hint or expiry";
                return Err(Problem::new("order", message).into());
            }
        };
        let mut query = KeyQuery::first(acting.tenant.clone(), count).in_order(order);
        query.owner = named("owner", self.owner, |text| OwnerId::new(text))?;
        query.group = named("group", self.group, |text| GroupId::new(text))?;
        let words = "must be active, disabled or revoked";
        query.status =
            named("status", self.status, |text| KeyStatus::from_str(text).map_err(|_| words))?;
        query.after = after;
        query.check().map_err(|input| {
            let problems = input.problems().iter().map(|problem| match problem.field() {
                "after" => Problem::new("cursor", "is none of this order"),
                _ => problem.clone(),
            });
            ApiError::Invalid(problems.collect())
        })?;
        Ok(query)
    }
}

fn named<T, E: ToString>(
    field: &str,
    text: Option<String>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, ApiError> {
    let read = text.map(|text| read(&text)).transpose();
    read.map_err(|error| Problem::new(field, error.to_string()).into())
}

/// Read keys.
///
/// A page costs the same wherever it is, in every order.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys",
    params(KeyParams, PageParams),
    responses((status = 200, description = "The keys.", body = PageView<KeyView>), Refused, NotThere),
    security(("key" = ["keyauth:keys:read"]))
)]
async fn list_keys(
    acting: Acting<KeysRead>,
    Query(keys, page, _): Query<KeyParams, PageParams>,
) -> Result<Json<PageView<KeyView>>, ApiError> {
    let query = keys.query(&acting, &page)?;
    let order = query.order.clone();
    let found = acting.store.keys(query).await?;
    Ok(Json(page.page(found, |last| order.position(last), KeyView::from)))
}

/// Issue a key.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys",
    params(TenantParam, IdempotencyKey),
    request_body = NewKeyBody,
    responses(
        (status = 201, description = "The key, and its text for the one time it can be had.",
         body = IssuedView),
        (status = 200, description = "The request was done before: the key that it has made.",
         body = IssuedView),
        Refused, NotThere, BodyRefused, Conflicts, NameTaken
    ),
    security(("key" = ["keyauth:keys:write"]))
)]
async fn issue_key(
    acting: Acting<KeysWrite>,
    request: Named,
    Query(..): Query<TenantParam>,
    body: Body<NewKeyBody>,
) -> Result<(StatusCode, Json<IssuedView>), ApiError> {
    acting.require_grant(body.value.scopes().iter().map(String::as_str))?;
    let new = body.value.read(&acting.tenant)?;
    let store = acting.store_for(&request, &body.text)?;
    match store.issue(new).await {
        Ok(issued) => Ok((StatusCode::CREATED, Json(IssuedView::new(&issued)))),
        Err(error) => repeated(&acting, error).await,
    }
}

/// Answers a request that was done before, by the key that came of it.
async fn repeated(
    acting: &Acting<KeysWrite>,
    error: StoreError,
) -> Result<(StatusCode, Json<IssuedView>), ApiError> {
    let StoreErrorKind::Repeated { key } = error.kind() else { return Err(error.into()) };
    let key = acting.store.key(acting.key(*key)).await?;
    Ok((StatusCode::OK, Json(IssuedView::repeated(key))))
}

/// Take over a key of another system.
///
/// By its hash. Its holder goes on using the text he has, where the server accepts such keys. It
/// needs `keyauth:all-tenants` as well: a hash is found without knowing whose it is, so that taking one
/// over is about all tenants.
#[utoipa::path(
    post, path = "/v1/keys/import", tag = "keys",
    params(TenantParam, IdempotencyKey),
    request_body = ImportBody,
    responses(
        (status = 201, description = "The key. Its text nobody knows but its holder.",
         body = IssuedView),
        (status = 200, description = "The request was done before: the key that it has made.",
         body = IssuedView),
        Refused, NotThere, BodyRefused, Conflicts, NameTaken
    ),
    security(("key" = ["keyauth:keys:write", "keyauth:all-tenants"]))
)]
async fn import_key(
    acting: Acting<KeysWrite>,
    request: Named,
    Query(..): Query<TenantParam>,
    body: Body<ImportBody>,
) -> Result<(StatusCode, Json<IssuedView>), ApiError> {
    acting.require_all_tenants()?;
    acting.require_grant(body.value.scopes().iter().map(String::as_str))?;
    let (new, secret) = body.value.read(&acting.tenant)?;
    let store = acting.store_for(&request, &body.text)?;
    match store.import(new, secret).await {
        Ok(key) => Ok((StatusCode::CREATED, Json(IssuedView::repeated(key)))),
        Err(error) => repeated(&acting, error).await,
    }
}

/// Read a key.
#[utoipa::path(
    get, path = "/v1/keys/{key}", tag = "keys",
    params(("key" = String, Path, format = "uuid", description = "Its id."), TenantParam),
    responses((status = 200, description = "The key.", body = KeyView), Refused, NotThere),
    security(("key" = ["keyauth:keys:read"]))
)]
async fn read_key(
    acting: Acting<KeysRead>,
    At(key): At<KeyId>,
    Query(..): Query<TenantParam>,
) -> Result<Json<KeyView>, ApiError> {
    Ok(Json(acting.store.key(acting.key(key)).await?.into()))
}

/// Change a key.
///
/// What is absent stays as it is. It needs the key's scopes: who takes rules off a key makes more of
/// it than it was.
#[utoipa::path(
    patch, path = "/v1/keys/{key}", tag = "keys",
    params(("key" = String, Path, format = "uuid", description = "Its id."), TenantParam),
    request_body = KeyUpdateBody,
    responses(
        (status = 200, description = "The key as it is now.", body = KeyView),
        Refused, NotThere, BodyRefused, Conflicts
    ),
    security(("key" = ["keyauth:keys:write"]))
)]
async fn update_key(
    acting: Acting<KeysWrite>,
    At(key): At<KeyId>,
    Query(..): Query<TenantParam>,
    body: Body<KeyUpdateBody>,
) -> Result<Json<KeyView>, ApiError> {
    let key = acting.key(key);
    acting.require_scopes_of(&acting.store.key(key.clone()).await?.scopes)?;
    let scopes = body.value.scopes.iter().flatten();
    acting.require_grant(scopes.map(String::as_str))?;
    let update = body.value.read()?;
    Ok(Json(acting.store.update(key, update).await?.into()))
}

/// Delete a key.
///
/// It is revoked, for good, and its secrets are forgotten, so that a custom one is free again.
#[utoipa::path(
    delete, path = "/v1/keys/{key}", tag = "keys",
    params(("key" = String, Path, format = "uuid", description = "Its id."), TenantParam),
    responses((status = 204, description = "It is gone."), Refused, NotThere),
    security(("key" = ["keyauth:keys:write"]))
)]
async fn delete_key(
    acting: Acting<KeysWrite>,
    At(key): At<KeyId>,
    Query(..): Query<TenantParam>,
) -> Result<StatusCode, ApiError> {
    acting.store.delete(acting.key(key)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a key a new secret.
///
/// Identity, usage and limits stay. Of its secrets two work at most: the newest, and for the grace
/// the one before. It needs the key's scopes, since whoever has the secret can use them.
#[utoipa::path(
    post, path = "/v1/keys/{key}/rotate", tag = "keys",
    params(
        ("key" = String, Path, format = "uuid", description = "Its id."),
        TenantParam, IdempotencyKey
    ),
    request_body = RotationBody,
    responses(
        (status = 201, description = "The key, and its new text for the one time it can be had.",
         body = IssuedView),
        (status = 200, description = "The request was done before: the key, without its text.",
         body = IssuedView),
        Refused, NotThere, BodyRefused, Conflicts, NameTaken
    ),
    security(("key" = ["keyauth:keys:write"]))
)]
async fn rotate_key(
    acting: Acting<KeysWrite>,
    At(key): At<KeyId>,
    request: Named,
    Query(..): Query<TenantParam>,
    body: Body<RotationBody>,
) -> Result<(StatusCode, Json<IssuedView>), ApiError> {
    let key = acting.key(key);
    acting.require_scopes_of(&acting.store.key(key.clone()).await?.scopes)?;
    let rotation = body.value.read()?;
    let store = acting.store_for(&request, &body.text)?;
    let named = key.clone();
    match store.rotate(key, rotation).await {
        Ok(issued) => {
            if let Err(denied) = acting.require_scopes_of(&issued.key().scopes) {
                // Somebody has given it more meanwhile: then the text is to be nobody's.
                acting.store.rotate(named, Rotation::immediate()).await?;
                return Err(denied);
            }
            Ok((StatusCode::CREATED, Json(IssuedView::new(&issued))))
        }
        Err(error) => repeated(&acting, error).await,
    }
}

/// For how long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WaitParam {
    /// Waits until no instance lets the key through any more, and for so many seconds at most, 1 to
    /// 120. Otherwise the answer comes as soon as it is revoked in the store, and other instances
    /// follow within their bound.
    #[param(minimum = 1, maximum = 120)]
    wait: Option<u8>,
}

/// Revoke a key.
///
/// For good, with all its secrets: nothing brings it back.
#[utoipa::path(
    post, path = "/v1/keys/{key}/revoke", tag = "keys",
    params(
        ("key" = String, Path, format = "uuid", description = "Its id."),
        TenantParam, WaitParam
    ),
    responses((status = 200, description = "The key is revoked.", body = RevokedView), Refused, NotThere),
    security(("key" = ["keyauth:keys:write"]))
)]
async fn revoke_key(
    acting: Acting<KeysWrite>,
    At(key): At<KeyId>,
    Query(_, WaitParam { wait }, _): Query<TenantParam, WaitParam>,
) -> Result<Json<RevokedView>, ApiError> {
    let key = acting.key(key);
    match wait {
        None => Ok(Json(RevokedView::new(acting.store.revoke(key).await?, None))),
        Some(seconds @ 1..=120) => {
            let timeout = Duration::from_secs(seconds.into());
            let (key, propagation) = acting.store.revoke_and_wait(key, timeout).await?;
            Ok(Json(RevokedView::new(key, Some(&propagation))))
        }
        Some(_) => Err(Problem::new("wait", "must be 1 to 120 seconds").into()),
    }
}

/// Let a disabled key work again.
///
/// It needs the key's scopes.
#[utoipa::path(
    post, path = "/v1/keys/{key}/enable", tag = "keys",
    params(("key" = String, Path, format = "uuid", description = "Its id."), TenantParam),
    responses((status = 200, description = "The key as it is now.", body = KeyView), Refused, NotThere, Conflicts),
    security(("key" = ["keyauth:keys:write"]))
)]
async fn enable_key(
    acting: Acting<KeysWrite>,
    At(key): At<KeyId>,
    Query(..): Query<TenantParam>,
) -> Result<Json<KeyView>, ApiError> {
    let key = acting.key(key);
    acting.require_scopes_of(&acting.store.key(key.clone()).await?.scopes)?;
    Ok(Json(acting.store.enable(key).await?.into()))
}

/// Stop a key until it is enabled again.
#[utoipa::path(
    post, path = "/v1/keys/{key}/disable", tag = "keys",
    params(("key" = String, Path, format = "uuid", description = "Its id."), TenantParam),
    responses((status = 200, description = "The key as it is now.", body = KeyView), Refused, NotThere, Conflicts),
    security(("key" = ["keyauth:keys:write"]))
)]
async fn disable_key(
    acting: Acting<KeysWrite>,
    At(key): At<KeyId>,
    Query(..): Query<TenantParam>,
) -> Result<Json<KeyView>, ApiError> {
    Ok(Json(acting.store.disable(acting.key(key)).await?.into()))
}
