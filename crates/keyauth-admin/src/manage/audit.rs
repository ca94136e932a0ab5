//! Who changed what.

use axum::Json;
use keyauth_core::{AuditQuery, Subject};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{NotThere, Refused};
use super::scope::needs::AuditRead;
use super::subject::{SubjectParams, Whose};
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::Query;
use crate::wire::{AuditView, PageParams, PageView};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read_audit))
}

/// Of whom else.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EverywhereParam {
    /// Of all tenants, and of what was done to all at once. It needs `keyauth:all-tenants`.
    #[serde(default)]
    everywhere: bool,
}

/// Read who changed what, the latest first.
///
/// Of the tenant, or of one key, owner or group of it, with all that is a part of that.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit",
    params(SubjectParams, PageParams, EverywhereParam),
    responses((status = 200, description = "The changes.", body = PageView<AuditView>), Refused, NotThere),
    security(("key" = ["keyauth:audit:read"]))
)]
async fn read_audit(
    acting: Acting<AuditRead>,
    Query(whose, page, everywhere): Query<SubjectParams, PageParams, EverywhereParam>,
) -> Result<Json<PageView<AuditView>>, ApiError> {
    let (count, before) = page.read()?;
    let tenant = acting.tenant.clone();
    let mut query = if everywhere.everywhere {
        acting.require_all_tenants()?;
        AuditQuery::last_of_all(count)
    } else {
        AuditQuery::last(tenant.clone(), count)
    };
    query.subject = match whose.read()? {
        Whose::Key(key) => Some(Subject::Key(key)),
        // What a member is, is noted of the owner.
        Whose::Owner(owner) | Whose::Member(_, owner) => Some(Subject::Owner(tenant, owner)),
        Whose::Group(group) => Some(Subject::Group(tenant, group)),
        Whose::Tenant => None,
    };
    query.before = before;
    let found = acting.store.audit(query).await?;
    Ok(Json(page.page(found, |last| last.id, AuditView::from)))
}
