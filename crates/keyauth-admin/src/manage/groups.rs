//! Groups, their lists, and who has subscribed to them.

use axum::Json;
use axum::http::StatusCode;
use keyauth_core::{BoundKeys, GroupId, OwnerId, Page, Problem};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::acting::TenantParam;
use super::path::At;
use super::responses::{BodyRefused, Conflicts, NotThere, Refused};
use super::scope::needs::{GroupsRead, GroupsWrite};
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::{Body, Query};
use crate::wire::{
    DeletedKeys, GroupBody, GroupUpdateBody, GroupView, PageParams, PageView, SubscriptionBody,
    SubscriptionView,
};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_groups))
        .routes(routes!(read_group, put_group, update_group, delete_group))
        .routes(routes!(list_members))
        .routes(routes!(add_member, remove_member))
        .routes(routes!(list_subscriptions))
        .routes(routes!(put_subscription, remove_subscription))
}

/// Read groups.
#[utoipa::path(
    get, path = "/v1/groups", tag = "groups",
    params(TenantParam, PageParams),
    responses((status = 200, description = "The groups.", body = PageView<GroupView>), Refused, NotThere),
    security(("key" = ["keyauth:groups:read"]))
)]
async fn list_groups(
    acting: Acting<GroupsRead>,
    Query(_, page, _): Query<TenantParam, PageParams>,
) -> Result<Json<PageView<GroupView>>, ApiError> {
    let (count, after) = page.read()?;
    let found = acting.store.groups(acting.tenant.clone(), Page { after, count }).await?;
    Ok(Json(page.page(found, |last| last.id.clone(), GroupView::from)))
}

/// Read a group.
#[utoipa::path(
    get, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Its id."), TenantParam),
    responses((status = 200, description = "The group.", body = GroupView), Refused, NotThere),
    security(("key" = ["keyauth:groups:read"]))
)]
async fn read_group(
    acting: Acting<GroupsRead>,
    At(group): At<GroupId>,
    Query(..): Query<TenantParam>,
) -> Result<Json<GroupView>, ApiError> {
    Ok(Json(acting.store.group(acting.tenant.clone(), group).await?.into()))
}

/// Create or replace a group.
///
/// Its list, its subscriptions and the keys that are bound to it stay. Another rate multiplier needs
/// `keyauth:all-tenants` as well.
#[utoipa::path(
    put, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Its id."), TenantParam),
    request_body = GroupBody,
    responses(
        (status = 200, description = "The group as it is now.", body = GroupView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:groups:write"]))
)]
async fn put_group(
    acting: Acting<GroupsWrite>,
    At(group): At<GroupId>,
    Query(..): Query<TenantParam>,
    body: Body<GroupBody>,
) -> Result<Json<GroupView>, ApiError> {
    let group = body.value.read(acting.tenant.clone(), group)?;
    let there = acting.found(acting.store.group(group.tenant.clone(), group.id.clone()).await)?;
    if group.rate_multiplier != there.map(|there| there.rate_multiplier).unwrap_or_default() {
        acting.require_all_tenants()?;
    }
    acting.store.put_group(group.clone()).await?;
    Ok(Json(group.into()))
}

/// Change a group.
///
/// What is absent stays as it is.
#[utoipa::path(
    patch, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Its id."), TenantParam),
    request_body = GroupUpdateBody,
    responses(
        (status = 200, description = "The group as it is now.", body = GroupView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:groups:write"]))
)]
async fn update_group(
    acting: Acting<GroupsWrite>,
    At(group): At<GroupId>,
    Query(..): Query<TenantParam>,
    body: Body<GroupUpdateBody>,
) -> Result<Json<GroupView>, ApiError> {
    let update = body.value.read()?;
    if update.rate_multiplier.is_some() {
        acting.require_all_tenants()?;
    }
    Ok(Json(acting.store.update_group(acting.tenant.clone(), group, update).await?.into()))
}

/// What becomes of keys that are bound to it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct BoundParam {
    /// `refuse`, as it is otherwise: it stays where keys are bound to it that are not revoked. Or
    /// `detach`: they go on without a group, and so without its limits and restrictions.
    #[param(pattern = "^(refuse|detach)$")]
    keys: Option<String>,
}

/// Delete a group.
#[utoipa::path(
    delete, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Its id."), TenantParam, BoundParam),
    responses(
        (status = 200, description = "It is gone, and so many keys are without it.",
         body = DeletedKeys),
        Refused, NotThere, Conflicts
    ),
    security(("key" = ["keyauth:groups:write"]))
)]
async fn delete_group(
    acting: Acting<GroupsWrite>,
    At(group): At<GroupId>,
    Query(_, bound, _): Query<TenantParam, BoundParam>,
) -> Result<Json<DeletedKeys>, ApiError> {
    let bound = match bound.keys.as_deref() {
        None | Some("refuse") => BoundKeys::Refuse,
        Some("detach") => BoundKeys::Detach,
        Some(_) => return Err(Problem::new("keys", "must be refuse or detach").into()),
    };
    let keys = acting.store.delete_group(acting.tenant.clone(), group, bound).await?;
    Ok(Json(DeletedKeys { keys }))
}

/// Read a group's list.
///
/// The owners that may use it where it is exclusive.
#[utoipa::path(
    get, path = "/v1/groups/{group}/members", tag = "groups",
    params(("group" = String, Path, description = "Its id."), TenantParam, PageParams),
    responses((status = 200, description = "Ids of owners.", body = PageView<String>), Refused, NotThere),
    security(("key" = ["keyauth:groups:read"]))
)]
async fn list_members(
    acting: Acting<GroupsRead>,
    At(group): At<GroupId>,
    Query(_, page, _): Query<TenantParam, PageParams>,
) -> Result<Json<PageView<String>>, ApiError> {
    let (count, after) = page.read()?;
    let tenant = acting.tenant.clone();
    let found = acting.store.members(tenant, group, Page { after, count }).await?;
    Ok(Json(page.page(found, Clone::clone, String::from)))
}

/// Put an owner on a group's list.
#[utoipa::path(
    put, path = "/v1/groups/{group}/members/{owner}", tag = "groups",
    params(
        ("group" = String, Path, description = "The group's id."),
        ("owner" = String, Path, description = "The owner's id."),
        TenantParam
    ),
    responses((status = 204, description = "It is on the list."), Refused, NotThere),
    security(("key" = ["keyauth:groups:write"]))
)]
async fn add_member(
    acting: Acting<GroupsWrite>,
    At((group, owner)): At<(GroupId, OwnerId)>,
    Query(..): Query<TenantParam>,
) -> Result<StatusCode, ApiError> {
    acting.store.add_member(acting.tenant.clone(), group, owner).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take an owner off a group's list.
#[utoipa::path(
    delete, path = "/v1/groups/{group}/members/{owner}", tag = "groups",
    params(
        ("group" = String, Path, description = "The group's id."),
        ("owner" = String, Path, description = "The owner's id."),
        TenantParam
    ),
    responses((status = 204, description = "It is not on the list."), Refused, NotThere),
    security(("key" = ["keyauth:groups:write"]))
)]
async fn remove_member(
    acting: Acting<GroupsWrite>,
    At((group, owner)): At<(GroupId, OwnerId)>,
    Query(..): Query<TenantParam>,
) -> Result<StatusCode, ApiError> {
    acting.store.remove_member(acting.tenant.clone(), group, owner).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read who has subscribed to a group.
#[utoipa::path(
    get, path = "/v1/groups/{group}/subscriptions", tag = "subscriptions",
    params(("group" = String, Path, description = "Its id."), TenantParam, PageParams),
    responses(
        (status = 200, description = "The subscriptions, whether they count or not.",
         body = PageView<SubscriptionView>),
        Refused, NotThere
    ),
    security(("key" = ["keyauth:groups:read"]))
)]
async fn list_subscriptions(
    acting: Acting<GroupsRead>,
    At(group): At<GroupId>,
    Query(_, page, _): Query<TenantParam, PageParams>,
) -> Result<Json<PageView<SubscriptionView>>, ApiError> {
    let (count, after) = page.read()?;
    let tenant = acting.tenant.clone();
    let found = acting.store.subscriptions(tenant, group, Page { after, count }).await?;
    let view = |(owner, subscription)| SubscriptionView::new(owner, subscription);
    Ok(Json(page.page(found, |(owner, _)| owner.clone(), view)))
}

/// Create or replace an owner's subscription to a group.
#[utoipa::path(
    put, path = "/v1/groups/{group}/subscriptions/{owner}", tag = "subscriptions",
    params(
        ("group" = String, Path, description = "The group's id."),
        ("owner" = String, Path, description = "The owner's id."),
        TenantParam
    ),
    request_body = SubscriptionBody,
    responses(
        (status = 200, description = "The subscription.", body = SubscriptionView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:groups:write"]))
)]
async fn put_subscription(
    acting: Acting<GroupsWrite>,
    At((group, owner)): At<(GroupId, OwnerId)>,
    Query(..): Query<TenantParam>,
    body: Body<SubscriptionBody>,
) -> Result<Json<SubscriptionView>, ApiError> {
    let (tenant, subscription) = (acting.tenant.clone(), body.value.into());
    acting.store.put_subscription(tenant, group, owner.clone(), subscription).await?;
    Ok(Json(SubscriptionView::new(owner, subscription)))
}

/// Take an owner's subscription to a group away.
#[utoipa::path(
    delete, path = "/v1/groups/{group}/subscriptions/{owner}", tag = "subscriptions",
    params(
        ("group" = String, Path, description = "The group's id."),
        ("owner" = String, Path, description = "The owner's id."),
        TenantParam
    ),
    responses((status = 204, description = "There is none."), Refused, NotThere),
    security(("key" = ["keyauth:groups:write"]))
)]
async fn remove_subscription(
    acting: Acting<GroupsWrite>,
    At((group, owner)): At<(GroupId, OwnerId)>,
    Query(..): Query<TenantParam>,
) -> Result<StatusCode, ApiError> {
    acting.store.remove_subscription(acting.tenant.clone(), group, owner).await?;
    Ok(StatusCode::NO_CONTENT)
}
