//! `keyauth tenants`.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::Command;
use super::changes::{Bounds, Part, Status, change, create};
use crate::api::Api;
use crate::shown::Form;
use crate::told::Failure;

const FIRST: &[&str] = &["id", "status"];
const COLUMNS: &[&str] =
    &["id", "status", "custom_keys", "max_keys_per_owner", "limits", "budgets"];

#[derive(Debug, Subcommand)]
pub(crate) enum Tenants {
    /// Create a tenant.
    Create(Terms),
    /// List tenants.
    List(Part),
    /// Show a tenant.
    Show { id: String },
    /// Change a tenant. What is not named stays as it is; lists are replaced.
    Update(Update),
}

/// Whether keys may be chosen.
#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum CustomKeys {
    Refused,
    Allowed,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Terms {
    #[serde(skip)]
    id: String,
    /// Whether its keys work
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// Whether it may bring keys of its own making
    #[arg(long, value_name = "WHETHER")]
    #[serde(rename = "custom_keys", skip_serializing_if = "Option::is_none")]
    chosen_keys: Option<CustomKeys>,
    /// How many keys each of its owners may have
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys_per_owner: Option<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    bounds: Bounds,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    #[command(flatten)]
    terms: Terms,
    /// What to take away
    #[arg(long, value_name = "FIELD", value_delimiter = ',',
          value_parser = ["max-keys-per-owner", "limits", "budgets"])]
    clear: Vec<String>,
}

impl Command for Tenants {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let tenants = "/v1/tenants";
        let tenant = match self {
            Self::List(part) => return part.show(api.get(tenants), form, COLUMNS).await,
            Self::Create(terms) => {
                create("tenant", &terms.id, (api.get(tenants), api.put(tenants)), &terms).await?
            }
            Self::Show { id } => api.get(tenants).at(&id).value().await?,
            Self::Update(Update { terms, clear }) => {
                let body = change(&terms, &clear)?;
                api.patch(tenants).at(&terms.id).body(&body)?.value().await?
            }
        };
        form.one(&tenant, FIRST)
    }
}
