//! Whose limits, budgets and usage are meant.

use clap::Args;
use serde::Serialize;

/// Whose: a key's, an owner's or a group's; an owner's as far as its keys are bound to a group, with
/// both; the tenant's with none.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Whose {
    /// Of this key
    #[arg(long, value_name = "KEY", conflicts_with_all = ["owner", "group"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Of this owner
    #[arg(long, value_name = "OWNER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Of this group
    #[arg(long, value_name = "GROUP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
}
