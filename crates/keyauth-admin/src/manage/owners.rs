//! Owners.

use axum::Json;
use keyauth_core::{OwnerId, Page, Patch};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::acting::TenantParam;
use super::path::At;
use super::responses::{BodyRefused, NotThere, Refused};
use super::scope::needs::{OwnersRead, OwnersWrite};
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::{Body, Query};
use crate::wire::{
    DeletedKeys, GroupView, OwnerBody, OwnerUpdateBody, OwnerView, PageParams, PageView,
};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_owners))
        .routes(routes!(read_owner, put_owner, update_owner, delete_owner))
        .routes(routes!(list_open_groups))
}

/// Read owners.
#[utoipa::path(
    get, path = "/v1/owners", tag = "owners",
    params(TenantParam, PageParams),
    responses((status = 200, description = "The owners.", body = PageView<OwnerView>), Refused, NotThere),
    security(("key" = ["keyauth:owners:read"]))
)]
async fn list_owners(
    acting: Acting<OwnersRead>,
    Query(_, page, _): Query<TenantParam, PageParams>,
) -> Result<Json<PageView<OwnerView>>, ApiError> {
    let (count, after) = page.read()?;
    let found = acting.store.owners(acting.tenant.clone(), Page { after, count }).await?;
    Ok(Json(page.page(found, |last| last.id.clone(), OwnerView::from)))
}

/// Read an owner.
#[utoipa::path(
    get, path = "/v1/owners/{owner}", tag = "owners",
    params(("owner" = String, Path, description = "Its id."), TenantParam),
    responses((status = 200, description = "The owner.", body = OwnerView), Refused, NotThere),
    security(("key" = ["keyauth:owners:read"]))
)]
async fn read_owner(
    acting: Acting<OwnersRead>,
    At(owner): At<OwnerId>,
    Query(..): Query<TenantParam>,
) -> Result<Json<OwnerView>, ApiError> {
    Ok(Json(acting.store.owner(acting.tenant.clone(), owner).await?.into()))
}

/// Create or replace an owner.
///
/// Its keys stay. Another rate multiplier needs `keyauth:all-tenants` as well. One that was deleted begins anew, without the keys it had.
#[utoipa::path(
    put, path = "/v1/owners/{owner}", tag = "owners",
    params(("owner" = String, Path, description = "Its id."), TenantParam),
    request_body = OwnerBody,
    responses(
        (status = 200, description = "The owner as it is now.", body = OwnerView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:owners:write"]))
)]
async fn put_owner(
    acting: Acting<OwnersWrite>,
    At(owner): At<OwnerId>,
    Query(..): Query<TenantParam>,
    body: Body<OwnerBody>,
) -> Result<Json<OwnerView>, ApiError> {
    let owner = body.value.read(acting.tenant.clone(), owner)?;
    let there = acting.found(acting.store.owner(owner.tenant.clone(), owner.id.clone()).await)?;
    if owner.rate_multiplier != there.and_then(|there| there.rate_multiplier) {
        acting.require_all_tenants()?;
    }
    acting.store.put_owner(owner.clone()).await?;
    Ok(Json(owner.into()))
}

/// Change an owner.
///
/// What is absent stays as it is.
#[utoipa::path(
    patch, path = "/v1/owners/{owner}", tag = "owners",
    params(("owner" = String, Path, description = "Its id."), TenantParam),
    request_body = OwnerUpdateBody,
    responses(
        (status = 200, description = "The owner as it is now.", body = OwnerView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:owners:write"]))
)]
async fn update_owner(
    acting: Acting<OwnersWrite>,
    At(owner): At<OwnerId>,
    Query(..): Query<TenantParam>,
    body: Body<OwnerUpdateBody>,
) -> Result<Json<OwnerView>, ApiError> {
    let update = body.value.read()?;
    if update.rate_multiplier != Patch::Keep {
        acting.require_all_tenants()?;
    }
    Ok(Json(acting.store.update_owner(acting.tenant.clone(), owner, update).await?.into()))
}

/// Delete an owner.
///
/// Its keys are revoked, for good. What it has used stays on record.
#[utoipa::path(
    delete, path = "/v1/owners/{owner}", tag = "owners",
    params(("owner" = String, Path, description = "Its id."), TenantParam),
    responses(
        (status = 200, description = "It is gone, and so many keys are revoked.",
         body = DeletedKeys),
        Refused, NotThere
    ),
    security(("key" = ["keyauth:owners:write"]))
)]
async fn delete_owner(
    acting: Acting<OwnersWrite>,
    At(owner): At<OwnerId>,
    Query(..): Query<TenantParam>,
) -> Result<Json<DeletedKeys>, ApiError> {
    let keys = acting.store.delete_owner(acting.tenant.clone(), owner).await?;
    Ok(Json(DeletedKeys { keys }))
}

/// Read the active groups that keys of an owner may be bound to.
#[utoipa::path(
    get, path = "/v1/owners/{owner}/groups", tag = "owners",
    params(("owner" = String, Path, description = "Its id."), TenantParam, PageParams),
    responses((status = 200, description = "The groups.", body = PageView<GroupView>), Refused, NotThere),
    security(("key" = ["keyauth:owners:read"]))
)]
async fn list_open_groups(
    acting: Acting<OwnersRead>,
    At(owner): At<OwnerId>,
    Query(_, page, _): Query<TenantParam, PageParams>,
) -> Result<Json<PageView<GroupView>>, ApiError> {
    let (count, after) = page.read()?;
    let tenant = acting.tenant.clone();
    let found = acting.store.groups_open_to(tenant, owner, Page { after, count }).await?;
    Ok(Json(page.page(found, |last| last.id.clone(), GroupView::from)))
}
