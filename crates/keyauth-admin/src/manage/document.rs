//! The document of what can be asked.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, OpenApi, OpenApiBuilder};

use super::ManagementApi;
use crate::problem::{FieldProblem, ProblemBody};

const DESCRIPTION: &str = "Manages API keys. Every request brings a key with the scope that is \
    named beside it, as `Authorization: Bearer`. It is about the tenant of that key unless \
    `tenant` names another, which needs `keyauth:all-tenants`. What is another tenant's is \
    answered like what is not there.";

/// All but what handlers say of themselves.
pub(super) fn head() -> OpenApi {
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0");
    let license = license.identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("keyauth")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .build();
    let key = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new().security_scheme("key", key);
    let components = components.schema_from::<ProblemBody>().schema_from::<FieldProblem>().build();
    let tags = [
        ("tenants", "Customers of the service, whose owners, groups and keys are nobody else's."),
        ("owners", "People and services that keys speak for."),
        ("groups", "Plans and teams that keys are bound to."),
        ("subscriptions", "Rights to use a group of that kind."),
        ("keys", "Keys."),
        ("decisions", "What becomes of keys that are presented."),
        ("limits", "How often."),
        ("budgets", "For how much."),
        ("usage", "What was used."),
        ("audit", "Who changed what."),
        ("own", "What any key may ask about itself."),
    ];
    let tag = |(name, text)| TagBuilder::new().name(name).description(Some(text)).build();
    let tags = tags.into_iter().map(tag).collect::<Vec<_>>();
    OpenApiBuilder::new().info(info).components(Some(components)).tags(Some(tags)).build()
}

/// The document, for anybody: made once.
pub(super) async fn answer() -> impl IntoResponse {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
        // What cannot be written would have been noticed by the test that reads it.
        serde_json::to_vec(&ManagementApi::document()).unwrap_or_default().into()
    });
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}
