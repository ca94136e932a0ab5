//! What operators see: events, a span's fields, and counters (feature `metrics`).
//!
//! Keys never appear; what names one here is its id.

use keyauth_core::{Denial, KeyRecord, LedgerError, LookupError, LookupErrorKind};
use tracing::Span;

use crate::{Principal, RequestHead};

/// The span in which a request is decided. Its fields are filled in with the outcome.
pub(crate) fn span() -> Span {
    tracing::debug_span!(
        "keyauth",
        outcome = tracing::field::Empty,
        code = tracing::field::Empty,
        key = tracing::field::Empty,
        owner = tracing::field::Empty,
        tenant = tracing::field::Empty,
    )
}

pub(crate) fn admitted(span: &Span, principal: &Principal) {
    let key = &principal.record().key;
    record(span, "admitted", "", Some(principal.record()));
    tracing::trace!(key = %key.id, owner = %key.owner, tenant = %key.tenant, "admitted");
}

pub(crate) fn denied(
    span: &Span,
    denial: Denial,
    found: Option<&KeyRecord>,
    head: &RequestHead<'_>,
) {
    record(span, "denied", denial.code(), found);
    log_refusal(denial, found, head);
}

pub(crate) fn unanswered(span: &Span, error: &LookupError) {
    record(span, "unanswered", error.kind().code(), None);
    let source = std::error::Error::source(error).map(tracing::field::display);
    tracing::warn!(code = error.kind().code(), source, "{error}");
}

/// The same, where the log has said why.
pub(crate) fn undecided(span: &Span, kind: LookupErrorKind) {
    record(span, "unanswered", kind.code(), None);
}

pub(crate) fn anonymous(span: &Span) {
    record(span, "anonymous", "", None);
    tracing::trace!("let through without a key");
}

pub(crate) fn skipped(span: &Span) {
    record(span, "skipped", "", None);
    tracing::trace!("skipped");
}

/// A route's own requirement was not met, after the layer had decided.
pub(crate) fn unmet(denial: Denial, found: Option<&KeyRecord>, head: &RequestHead<'_>) {
    log_refusal(denial, found, head);
    #[cfg(feature = "metrics")]
    metrics::counter!("keyauth_requirements_unmet_total", "code" => denial.code()).increment(1);
}

fn log_refusal(denial: Denial, found: Option<&KeyRecord>, head: &RequestHead<'_>) {
    let Some(KeyRecord { key, .. }) = found else {
        // Strangers can make as many of these as they like.
        tracing::debug!(code = denial.code(), route = head.route(), "refused a request");
        return;
    };
    tracing::info!(
        code = denial.code(),
        key = %key.id,
        owner = %key.owner,
        tenant = %key.tenant,
        route = head.route(),
        "refused a key"
    );
}

/// Says once what is missing where a key has address rules and no address is known.
pub(crate) fn no_address() {
    tracing::warn!(
        "the client's address is unknown, so keys with address rules are refused, and a guard \
         holds nobody up; \
         with axum, serve `app.into_make_service_with_connect_info::<SocketAddr>()`, \
         elsewhere put a `keyauth_tower::PeerAddress` into each request's extensions"
    );
}

/// A limit that is not a key's was exceeded.
pub(crate) fn limited(denial: Denial) {
    // Strangers can make as many of these as they like.
    tracing::debug!(code = denial.code(), "refused a request");
    #[cfg(feature = "metrics")]
    metrics::counter!("keyauth_rate_limited_total", "code" => denial.code()).increment(1);
}

/// Nobody has said whether a request is within its limits.
pub(crate) fn unlimited(error: &LookupError) {
    let source = std::error::Error::source(error).map(tracing::field::display);
    tracing::warn!(code = error.kind().code(), source, "limits could not be asked for: {error}");
}

/// Nobody has said whether budgets have room.
pub(crate) fn uncharged(error: &LedgerError) {
    let source = std::error::Error::source(error).map(tracing::field::display);
    tracing::warn!(source, "budgets could not be asked for: {error}");
}

/// Says what is missing where a handler charges and nobody books that.
#[cfg(feature = "axum")]
pub(crate) fn no_meter() {
    tracing::warn!(
        "a handler wants to charge, and nobody books that; give the layer's authenticator a meter, \
         with `Authenticator::with_meter`"
    );
}

/// Says once what is missing where a guard cannot tell clients apart.
pub(crate) fn no_guard() {
    tracing::warn!(
        "a guard holds nobody up before `KeyAuthLayer::with_client_address` says how clients are \
         told apart: `ClientAddress::peer()`, or behind proxies `ClientAddress::behind(..)`"
    );
}

/// Says once what is missing where clients are limited by an address that is unknown.
pub(crate) fn no_limited_address() {
    tracing::warn!(
        "clients are limited by address, and that is unknown, so all of them count as one; \
         with axum, serve `app.into_make_service_with_connect_info::<SocketAddr>()`, \
         elsewhere put a `keyauth_tower::PeerAddress` into each request's extensions"
    );
}

/// Says once what is wrong where a requirement stands behind no layer.
pub(crate) fn no_layer() {
    tracing::warn!(
        "a requirement refused a request that no `KeyAuthLayer` has seen; put the layer \
         outside of the requirement: on the router, with `Router::layer`"
    );
}

fn record(span: &Span, outcome: &'static str, code: &'static str, found: Option<&KeyRecord>) {
    if !span.is_disabled() {
        span.record("outcome", outcome).record("code", code);
        if let Some(key) = found.map(|record| &record.key) {
            span.record("key", tracing::field::display(key.id))
                .record("owner", tracing::field::display(&key.owner))
                .record("tenant", tracing::field::display(&key.tenant));
        }
    }
    #[cfg(feature = "metrics")]
    match outcome {
        // With literals the name is made at compile time, and the hot path allocates nothing.
        "admitted" => {
            metrics::counter!("keyauth_requests_total", "outcome" => "admitted", "code" => "")
        }
        _ => metrics::counter!("keyauth_requests_total", "outcome" => outcome, "code" => code),
    }
    .increment(1);
}
