//! `keyauth groups`.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::Command;
use super::changes::{Bounds, Part, Status, change, create};
use crate::api::Api;
use crate::shown::Form;
use crate::told::Failure;

const FIRST: &[&str] = &["id", "tenant", "kind", "status"];
pub(super) const COLUMNS: &[&str] =
    &["id", "kind", "status", "rate_multiplier", "limits", "budgets"];

#[derive(Debug, Subcommand)]
pub(crate) enum Groups {
    /// Create a group.
    Create(Terms),
    /// List groups.
    List(Part),
    /// Show a group.
    Show { group: String },
    /// Change a group. What is not named stays as it is; lists are replaced.
    Update(Update),
    /// Delete a group that no key is bound to.
    Delete {
        group: String,
        /// Let keys that are bound to it go on without it, and without its limits
        #[arg(long)]
        detach: bool,
    },
    /// List the owners that an exclusive group is open to.
    Members {
        group: String,
        #[command(flatten)]
        part: Part,
    },
    /// Open an exclusive group to an owner.
    Add { group: String, owner: String },
    /// Close it to one.
    Remove { group: String, owner: String },
    /// List who has subscribed to a group, whether that counts or not.
    Subscriptions {
        group: String,
        #[command(flatten)]
        part: Part,
    },
    /// Give an owner a subscription, in the place of what it has.
    Subscribe(Subscribe),
    /// Take one away.
    Unsubscribe { group: String, owner: String },
}

/// Who may be bound to it.
#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Keys of all owners
    Standard,
    /// Keys of owners who are on its list
    Exclusive,
    /// Keys of owners with an active subscription
    Subscription,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Terms {
    #[serde(skip)]
    group: String,
    /// Whose keys can be bound to it
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    /// Whether its keys work
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
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
    #[arg(long, value_name = "FIELD", value_delimiter = ',', value_parser = ["limits", "budgets"])]
    clear: Vec<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Subscribe {
    #[serde(skip)]
    group: String,
    #[serde(skip)]
    owner: String,
    /// Whether it counts
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// The first instant it no longer does
    #[arg(long, value_name = "TIME", required_unless_present = "endless")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    /// It has no end
    #[arg(long, conflicts_with = "ends_at")]
    #[serde(skip)]
    endless: bool,
}

impl Command for Groups {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        const GROUPS: &str = "/v1/groups";
        let group = match self {
            Self::List(part) => return part.show(api.get(GROUPS), form, COLUMNS).await,
            Self::Members { group, part } => {
                return part
                    .show(api.get(GROUPS).at(&group).and("members"), form, &["owner"])
                    .await;
            }
            Self::Subscriptions { group, part } => {
                let subscriptions = api.get(GROUPS).at(&group).and("subscriptions");
                return part.show(subscriptions, form, &["owner", "status", "ends_at"]).await;
            }
            Self::Add { group, owner } => {
                api.put(GROUPS).at(&group).and("members").at(&owner).done().await?;
                return form.sentence(&format!("{owner} is on the list of {group}"));
            }
            Self::Remove { group, owner } => {
                api.delete(GROUPS).at(&group).and("members").at(&owner).done().await?;
                return form.sentence(&format!("{owner} is not on the list of {group}"));
            }
            Self::Unsubscribe { group, owner } => {
                api.delete(GROUPS).at(&group).and("subscriptions").at(&owner).done().await?;
                return form.sentence(&format!("{owner} has no subscription to {group}"));
            }
            Self::Subscribe(what) => {
                let call = api.put(GROUPS).at(&what.group).and("subscriptions").at(&what.owner);
                return form.one(&call.body(&what)?.value().await?, &["owner"]);
            }
            Self::Delete { group, detach } => {
                let call = api.delete(GROUPS).at(&group);
                let deleted = call.query("keys", detach.then_some("detach")).value().await?;
                return form.one(&deleted, &[]);
            }
            Self::Create(terms) => {
                create("group", &terms.group, (api.get(GROUPS), api.put(GROUPS)), &terms).await?
            }
            Self::Show { group } => api.get(GROUPS).at(&group).value().await?,
            Self::Update(Update { terms, clear }) => {
                let body = change(&terms, &clear)?;
                api.patch(GROUPS).at(&terms.group).body(&body)?.value().await?
            }
        };
        form.one(&group, FIRST)
    }
}
