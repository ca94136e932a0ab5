//! Who asks.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use keyauth_core::{Actor, KeyId, StoreError, TenantId};
use keyauth_tower::Principal;

use super::Api;

/// Somebody who may do everything without a key, since the store is his: who runs a program beside
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    actor: Actor,
    tenant: TenantId,
}

impl Operator {
    /// Somebody whom the audit calls `actor`, and who acts in `tenant` where a request names none.
    #[must_use]
    pub const fn new(actor: Actor, tenant: TenantId) -> Self {
        Self { actor, tenant }
    }
}

/// Whoever asks.
pub(super) enum Who {
    /// The holder of a key.
    Key(Principal),
    Operator(Operator),
}

impl FromRequestParts<Api> for Who {
    type Rejection = Response;

    /// An operator is who was said when the router was made, and never what a request says.
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        if let Some(operator) = &api.operator {
            return Ok(Self::Operator(operator.clone()));
        }
        let key = <Principal as FromRequestParts<Api>>::from_request_parts(parts, api).await;
        key.map(Self::Key).map_err(IntoResponse::into_response)
    }
}

impl Who {
    pub(super) fn has_scope(&self, scope: &str) -> bool {
        match self {
            Self::Key(key) => key.has_scope(scope),
            Self::Operator(_) => true,
        }
    }

    pub(super) fn tenant(&self) -> &TenantId {
        match self {
            Self::Key(key) => key.tenant(),
            Self::Operator(operator) => &operator.tenant,
        }
    }

    /// The key, where there is one.
    pub(super) fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Key(key) => Some(key.key_id()),
            Self::Operator(_) => None,
        }
    }

    /// Whom the audit names.
    pub(super) fn actor(&self) -> Result<Actor, StoreError> {
        match self {
            Self::Key(key) => {
                Actor::new(format!("key:{}", key.key_id())).map_err(StoreError::unavailable)
            }
            Self::Operator(operator) => Ok(operator.actor.clone()),
        }
    }
}
