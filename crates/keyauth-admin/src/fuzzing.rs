//! What the fuzz targets of `tests/fuzz` check of what is private here.

#![expect(clippy::expect_used, reason = "a check fails by panicking")]

use axum::http::Uri;
use keyauth_core::{GroupId, Issuer, KeyUpdate, NewKey, OwnerId, TenantId};
use serde::de::DeserializeOwned;

use crate::manage::facts::Facts;
use crate::problem::ApiError;
use crate::read;
use crate::wire::{
    ExplainBody, ExplainKeyBody, GroupBody, GroupUpdateBody, ImportBody, KeyUpdateBody, NewKeyBody,
    OwnerBody, OwnerUpdateBody, PageParams, RotationBody, SubscriptionBody, TenantBody,
    TenantUpdateBody, VerifyBody,
};

/// Whatever is sent as a body: it is read, or what is wrong is named in words that can be shown and
/// are no longer than what was sent by much.
///
/// # Panics
///
/// Where a property does not hold.
pub fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let tenant = TenantId::default;
    shown(text, read_as(text, |body: NewKeyBody| issue(body.read(&tenant())?)));
    shown(text, read_as(text, |body: ImportBody| issue(body.read(&tenant())?.0)));
    shown(text, read_as(text, |body: KeyUpdateBody| body.read().map(|_: KeyUpdate| ())));
    shown(text, read_as(text, |body: RotationBody| body.read().map(drop)));
    shown(text, read_as(text, |body: OwnerBody| body.read(tenant(), OwnerId::default()).map(drop)));
    shown(text, read_as(text, |body: OwnerUpdateBody| body.read().map(drop)));
    let group = GroupId::new("fuzzed").expect("a name");
    shown(text, read_as(text, |body: GroupBody| body.read(tenant(), group).map(drop)));
    shown(text, read_as(text, |body: GroupUpdateBody| body.read().map(drop)));
    shown(text, read_as(text, |_: SubscriptionBody| Ok(())));
    shown(text, read_as(text, |body: TenantBody| body.read(tenant()).map(drop)));
    shown(text, read_as(text, |body: TenantUpdateBody| body.read().map(drop)));
    shown(
        text,
        read_as(text, |body: VerifyBody| {
            let endpoint = (body.method.as_deref(), body.path.as_deref());
            Facts::read(&body.scopes, body.address, endpoint, body.resource.as_deref()).map(drop)
        }),
    );
    shown(text, read_as(text, |_: ExplainBody| Ok(())));
    shown(text, read_as(text, |_: ExplainKeyBody| Ok(())));
}

/// The same of parameters.
///
/// # Panics
///
/// Where a property does not hold.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(uri) = format!("/?{text}").parse::<Uri>() else { return };
    let query = uri.query().unwrap_or_default();
    let page = read::query::<PageParams>(query);
    shown(query, page.and_then(|page| page.read::<OwnerId>().map(drop)));
}

fn read_as<T: DeserializeOwned>(
    text: &str,
    then: impl FnOnce(T) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    read::body(text).and_then(then)
}

/// What the rules of keys say of it.
fn issue(new: NewKey) -> Result<(), ApiError> {
    Issuer::new().draft(new).map(drop).map_err(ApiError::from)
}

fn shown(sent: &str, outcome: Result<(), ApiError>) {
    let Err(ApiError::Invalid(problems)) = outcome else {
        return outcome.expect("nothing else is wrong");
    };
    assert!(!problems.is_empty());
    for problem in &problems {
        let told = problem.to_string();
        assert!(!told.chars().any(char::is_control), "{told:?}");
        assert!(told.len() <= 2 * sent.len() + 1_000, "{told}");
    }
}

#[cfg(test)]
#[test]
fn the_corpora_of_bodies_and_queries() {
    keyauth_testkit::replay("body", body);
    keyauth_testkit::replay("query", query);
}
