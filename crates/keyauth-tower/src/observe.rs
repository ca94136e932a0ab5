//! What operators see: events, a span's fields, and counters (feature `metrics`).
//!
//! Keys never appear; what names one here is its id.

use keyauth_core::{Denial, KeyRecord, LookupError};
use tracing::Span;

use crate::Principal;

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

pub(crate) fn admitted(principal: &Principal) {
    let key = &principal.record().key;
    record("admitted", "", Some(principal.record()));
    tracing::trace!(key = %key.id, owner = %key.owner, tenant = %key.tenant, "admitted");
}

pub(crate) fn denied(denial: Denial, found: Option<&KeyRecord>) {
    record("denied", denial.code(), found);
    match found.map(|record| &record.key) {
        Some(key) => tracing::info!(
            code = denial.code(),
            key = %key.id,
            owner = %key.owner,
            tenant = %key.tenant,
            "refused a key"
        ),
        // Strangers can make as many of these as they like.
        None => tracing::debug!(code = denial.code(), "refused a request"),
    }
}

pub(crate) fn unanswered(error: &LookupError) {
    record("unanswered", error.kind().code(), None);
    let source = std::error::Error::source(error).map(tracing::field::display);
    tracing::warn!(code = error.kind().code(), source, "{error}");
}

pub(crate) fn anonymous() {
    record("anonymous", "", None);
    tracing::trace!("let through without a key");
}

pub(crate) fn skipped() {
    record("skipped", "", None);
    tracing::trace!("skipped");
}

/// Says once what is missing where a key has address rules and no address is known.
pub(crate) fn no_address() {
    tracing::warn!(
        "a key has address rules, and the client's address is unknown, so it is refused; \
         with axum, serve `app.into_make_service_with_connect_info::<SocketAddr>()`, \
         elsewhere put a `keyauth_tower::PeerAddress` into each request's extensions"
    );
}

/// Says once what may be wrong where a requirement finds nobody authenticated.
pub(crate) fn no_principal() {
    tracing::warn!(
        "a requirement refused a request that nobody authenticated; if it had a key, put \
         `KeyAuthLayer` outside of the requirement: on the router, with `Router::layer`"
    );
}

fn record(outcome: &'static str, code: &'static str, found: Option<&KeyRecord>) {
    let span = Span::current();
    if !span.is_disabled() {
        span.record("outcome", outcome).record("code", code);
        if let Some(key) = found.map(|record| &record.key) {
            span.record("key", tracing::field::display(key.id))
                .record("owner", tracing::field::display(&key.owner))
                .record("tenant", tracing::field::display(&key.tenant));
        }
    }
    #[cfg(feature = "metrics")]
    metrics::counter!("keyauth_requests_total", "outcome" => outcome, "code" => code).increment(1);
}
