//! What is sent, as JSON. Its schemas are those of the document.

mod audit;
mod budget;
mod decision;
mod explained;
mod group;
mod key;
mod limit;
mod owner;
mod page;
mod tenant;
mod text;

pub(crate) use audit::AuditView;
pub(crate) use budget::{BudgetBody, BudgetStateView};
pub(crate) use decision::{DecisionView, VerifiedKey, VerifyBody};
pub(crate) use explained::{ExplainBody, ExplainKeyBody, ExplanationView};
pub(crate) use group::{GroupBody, GroupUpdateBody, GroupView, SubscriptionBody, SubscriptionView};
pub(crate) use key::{
    DeletedKeys, ImportBody, IssuedView, KeyUpdateBody, KeyView, NewKeyBody, RevokedView,
    RotationBody,
};
pub(crate) use limit::{LimitBody, LimitStateView};
pub(crate) use owner::{OwnerBody, OwnerUpdateBody, OwnerView};
pub(crate) use page::{PageParams, PageView};
pub(crate) use tenant::{TenantBody, TenantUpdateBody, TenantView};
pub(crate) use text::{Text, given, patch};
