//! Whoever manages, and where.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::IntoResponse;
use keyauth_core::{
    ChargedBudget, KeyId, KeyRef, Problem, RequestName, Scopes, StoreError, StoreErrorKind,
    TenantId,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::scope::{ManagementScope, Needs, RESERVED};
use super::store::DynStore;
use super::who::Who;
use crate::problem::ApiError;
use crate::wire::BudgetStateView;

/// Whose things are meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TenantParam {
    /// The tenant; one's own otherwise. Others need `keyauth:all-tenants`.
    #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    #[expect(dead_code, reason = "read where it decides")]
    tenant: Option<String>,
}

/// A caller with a scope, and the tenant that is meant: the first thing that a handler asks for.
pub(super) struct Acting<N> {
    pub(super) tenant: TenantId,
    pub(super) who: Who,
    /// Whose changes are noted as this caller's.
    pub(super) store: Arc<dyn DynStore>,
    /// Whether the caller has named it.
    named: bool,
    needs: PhantomData<N>,
}

impl<N: Needs> FromRequestParts<Api> for Acting<N> {
    type Rejection = axum::response::Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        let who = Who::from_request_parts(parts, api).await?;
        Self::admit(parts, api, who).map_err(IntoResponse::into_response)
    }
}

impl<N: Needs> Acting<N> {
    fn admit(parts: &Parts, api: &Api, who: Who) -> Result<Self, ApiError> {
        if !who.has_scope(N::SCOPE) {
            return Err(ApiError::ScopeDenied(N::SCOPE));
        }
        // What else is in the query is the handler's to judge.
        let mut query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let named = query.find(|(name, _)| name == "tenant");
        let is_named = named.is_some();
        let tenant = match named {
            None => who.tenant().clone(),
            Some((_, name)) => {
                let tenant = TenantId::new(name);
                tenant.map_err(|error| Problem::new("tenant", error.to_string()))?
            }
        };
        // As if it were not there.
        if tenant != *who.tenant() && !who.has_scope(ManagementScope::ALL_TENANTS) {
            return Err(ApiError::NotFound);
        }
        let actor = who.actor().map_err(|error| ApiError::unavailable(&error))?;
        let store = Arc::<dyn DynStore>::from_ref(api).acting_as(actor);
        Ok(Self { tenant, who, store, named: is_named, needs: PhantomData })
    }

    /// A key of the tenant.
    pub(super) fn key(&self, id: KeyId) -> KeyRef {
        KeyRef::from((self.tenant.clone(), id))
    }

    /// Whether a key of this tenant is one that is meant: any, where the caller may act in all and
    /// has named none.
    pub(super) fn sees(&self, tenant: &TenantId) -> bool {
        *tenant == self.tenant || (!self.named && self.require_all_tenants().is_ok())
    }

    /// What there is, if it is there.
    pub(super) fn found<T>(&self, read: Result<T, StoreError>) -> Result<Option<T>, ApiError> {
        match read {
            Ok(there) => Ok(Some(there)),
            Err(error) if *error.kind() == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How budgets stand.
    pub(super) async fn budget_states(
        &self,
        budgets: Vec<ChargedBudget>,
    ) -> Result<Vec<BudgetStateView>, ApiError> {
        if budgets.is_empty() {
            return Ok(Vec::new());
        }
        let states = self.store.budget_states(budgets.clone()).await?;
        Ok(BudgetStateView::all(&budgets, &states))
    }

    /// That it acts in every tenant, as what is about none alone needs.
    pub(super) fn require_all_tenants(&self) -> Result<(), ApiError> {
        self.require(ManagementScope::ALL_TENANTS)
    }

    /// That the caller has another scope too.
    pub(super) fn require(&self, scope: &'static str) -> Result<(), ApiError> {
        if self.who.has_scope(scope) { Ok(()) } else { Err(ApiError::ScopeDenied(scope)) }
    }

    /// Nobody gives what is not his, lest a key that may issue keys be one that may do anything.
    pub(super) fn require_grant<'a>(
        &self,
        scopes: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ApiError> {
        let any = self.who.has_scope(ManagementScope::GRANT_ANY);
        let may_give =
            |scope: &str| self.who.has_scope(scope) || (any && !scope.starts_with(RESERVED));
        // What could be no scope is refused by name later on, and not shown here.
        let is_scope = |scope: &&str| keyauth_core::Scope::new(scope).is_ok();
        let lacking = scopes.into_iter().filter(is_scope).filter(|scope| !may_give(scope));
        // Nor is a key that somebody has taken for a scope.
        let keyring = self.store.keyring();
        let shown = |scope: &str| match keyring.finds_in(scope.as_bytes()) {
            true => "(a key)".to_owned(),
            false => scope.to_owned(),
        };
        let lacking: Vec<_> = lacking.take(64).map(shown).collect();
        if lacking.is_empty() { Ok(()) } else { Err(ApiError::GrantDenied(lacking)) }
    }

    /// The same of a key's scopes: whoever gets its secret can use them.
    pub(super) fn require_scopes_of(&self, scopes: &Scopes) -> Result<(), ApiError> {
        self.require_grant(scopes.iter().map(keyauth_core::Scope::as_str))
    }

    /// A store that creates for this request alone, where the client has named it.
    pub(super) fn store_for(
        &self,
        request: &Named,
        body: &str,
    ) -> Result<Arc<dyn DynStore>, ApiError> {
        let Some(name) = &request.name else { return Ok(Arc::clone(&self.store)) };
        let actor = self.who.actor().map_err(|error| ApiError::unavailable(&error))?;
        let content = format!("{} {}\n{body}", request.method, request.path);
        let tenant = (&self.tenant, &actor);
        let request = RequestName::new(self.store.keyring(), tenant, name, &content);
        Ok(self.store.once(request))
    }
}

/// A request that can be sent again, where it has a name
/// ([draft-ietf-httpapi-idempotency-key-header](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/)).
pub(super) struct Named {
    name: Option<String>,
    method: Method,
    path: String,
}

/// The header it stands in, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is read from the header itself")]
pub(super) struct IdempotencyKey {
    /// Names the request, so that it is done once however often it is sent, for a day at least. What
    /// was answered cannot be had again: of a key that was made then, `secret` is `null`.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let name = name(&parts.headers)?;
        Ok(Self { name, method: parts.method.clone(), path: parts.uri.path().to_owned() })
    }
}

fn name(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    const NAME: &str = "Idempotency-Key";
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(NAME, "is there twice").into());
    }
    let name = value.to_str().unwrap_or_default();
    let is_name =
        (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name {
        let message = "must be 1 to 255 printable ASCII characters without spaces";
        return Err(Problem::new(NAME, message).into());
    }
    Ok(Some(name.to_owned()))
}
