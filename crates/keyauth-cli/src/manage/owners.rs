//! `keyauth owners`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Command;
use super::changes::{Bounds, Part, Status, change, create};
use crate::api::Api;
use crate::shown::Form;
use crate::told::Failure;

const FIRST: &[&str] = &["id", "tenant", "status"];
const COLUMNS: &[&str] = &["id", "status", "max_keys", "rate_multiplier", "limits", "budgets"];

#[derive(Debug, Subcommand)]
pub(crate) enum Owners {
    /// Create an owner. Issuing a key to one that is not there creates it too.
    Create(Terms),
    /// List owners.
    List(Part),
    /// Show an owner.
    Show { owner: String },
    /// Change an owner. What is not named stays as it is; lists are replaced.
    Update(Update),
    /// Delete an owner: its keys are revoked for good.
    Delete { owner: String },
    /// List the groups that its keys can be bound to.
    Groups {
        owner: String,
        #[command(flatten)]
        part: Part,
    },
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Terms {
    #[serde(skip)]
    owner: String,
    /// Whether its keys work
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// How many keys it may have
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys: Option<u32>,
    /// How many times as often its keys may be used as limits say: 0.5, 2
    #[arg(long, value_name = "FACTOR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_multiplier: Option<String>,
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
          value_parser = ["max-keys", "rate-multiplier", "limits", "budgets"])]
    clear: Vec<String>,
}

impl Command for Owners {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let owners = "/v1/owners";
        let owner = match self {
            Self::List(part) => return part.show(api.get(owners), form, COLUMNS).await,
            Self::Groups { owner, part } => {
                let groups = api.get(owners).at(&owner).and("groups");
                return part.show(groups, form, super::groups::COLUMNS).await;
            }
            Self::Delete { owner } => {
                let deleted = api.delete(owners).at(&owner).value().await?;
                return form.one(&deleted, &[]);
            }
            Self::Create(terms) => {
                let (get, put) = (api.get(owners), api.put(owners));
                create("owner", &terms.owner, (get, put), &terms).await?
            }
            Self::Show { owner } => api.get(owners).at(&owner).value().await?,
            Self::Update(Update { terms, clear }) => {
                let body = change(&terms, &clear)?;
                api.patch(owners).at(&terms.owner).body(&body)?.value().await?
            }
        };
        form.one(&owner, FIRST)
    }
}
