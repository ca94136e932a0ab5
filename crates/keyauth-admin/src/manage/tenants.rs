//! Tenants.

use axum::Json;
use keyauth_core::{Page, TenantId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::path::At;
use super::responses::{BodyRefused, NotThere, Refused};
use super::scope::needs::{TenantsRead, TenantsWrite};
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::{Body, NoMore, Query};
use crate::wire::{PageParams, PageView, TenantBody, TenantUpdateBody, TenantView};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_tenants)).routes(routes!(
        read_tenant,
        put_tenant,
        update_tenant
    ))
}

impl<N: super::scope::Needs> Acting<N> {
    /// Whoever acts in one tenant alone sees no other, not even that it is there.
    fn require_tenant(&self, tenant: &TenantId) -> Result<(), ApiError> {
        let own = tenant == self.who.tenant() || self.require_all_tenants().is_ok();
        if own { Ok(()) } else { Err(ApiError::NotFound) }
    }
}

/// Read tenants.
///
/// Whoever acts in one alone gets that one.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "tenants",
    params(PageParams),
    responses((status = 200, description = "The tenants.", body = PageView<TenantView>), Refused, NotThere),
    security(("key" = ["keyauth:tenants:read"]))
)]
async fn list_tenants(
    acting: Acting<TenantsRead>,
    Query(page, ..): Query<PageParams>,
) -> Result<Json<PageView<TenantView>>, ApiError> {
    let (count, after) = page.read()?;
    let found = if acting.require_all_tenants().is_ok() {
        acting.store.tenants(Page { after, count }).await?
    } else if after.is_some() {
        Vec::new()
    } else {
        vec![acting.store.tenant(acting.tenant.clone()).await?]
    };
    Ok(Json(page.page(found, |last| last.id.clone(), TenantView::from)))
}

/// Read a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The tenant.", body = TenantView), Refused, NotThere),
    security(("key" = ["keyauth:tenants:read"]))
)]
async fn read_tenant(
    acting: Acting<TenantsRead>,
    At(tenant): At<TenantId>,
    Query(..): Query<NoMore>,
) -> Result<Json<TenantView>, ApiError> {
    acting.require_tenant(&tenant)?;
    Ok(Json(acting.store.tenant(tenant).await?.into()))
}

/// Create or replace a tenant.
///
/// Keys, owners and groups stay. It needs `keyauth:all-tenants` as well.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Its id.")),
    request_body = TenantBody,
    responses(
        (status = 200, description = "The tenant as it is now.", body = TenantView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:tenants:write", "keyauth:all-tenants"]))
)]
async fn put_tenant(
    acting: Acting<TenantsWrite>,
    At(tenant): At<TenantId>,
    Query(..): Query<NoMore>,
    body: Body<TenantBody>,
) -> Result<Json<TenantView>, ApiError> {
    acting.require_tenant(&tenant)?;
    acting.require_all_tenants()?;
    let tenant = body.value.read(tenant)?;
    acting.store.put_tenant(tenant.clone()).await?;
    Ok(Json(tenant.into()))
}

/// Change a tenant.
///
/// What is absent stays as it is. It needs `keyauth:all-tenants` as well.
#[utoipa::path(
    patch, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Its id.")),
    request_body = TenantUpdateBody,
    responses(
        (status = 200, description = "The tenant as it is now.", body = TenantView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:tenants:write", "keyauth:all-tenants"]))
)]
async fn update_tenant(
    acting: Acting<TenantsWrite>,
    At(tenant): At<TenantId>,
    Query(..): Query<NoMore>,
    body: Body<TenantUpdateBody>,
) -> Result<Json<TenantView>, ApiError> {
    acting.require_tenant(&tenant)?;
    acting.require_all_tenants()?;
    Ok(Json(acting.store.update_tenant(tenant, body.value.read()?).await?.into()))
}
