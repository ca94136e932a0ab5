//! `keyauth budgets`.

use clap::{Args, Subcommand};

use super::Command;
use super::whose::Whose;
use crate::api::Api;
use crate::shown::Form;
use crate::told::Failure;

pub(super) const COLUMNS: &[&str] =
    &["budget", "used", "reserved", "remaining", "overrun", "lost", "ends_at"];

#[derive(Debug, Subcommand)]
pub(crate) enum Budgets {
    /// Show the budgets that somebody's use is charged to, and how they stand.
    Show(Whose),
    /// Have one begin anew.
    Reset(Named),
    /// Give back what was reserved by instances that never came back.
    GiveBack(Named),
}

#[derive(Args, Debug)]
pub(crate) struct Named {
    /// The budget's name
    name: String,
    #[command(flatten)]
    whose: Whose,
}

impl Command for Budgets {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let (path, Named { name, whose }, told) = match self {
            Self::Show(whose) => {
                let budgets = api.get("/v1/budgets").asking(&whose)?.value().await?;
                return form.some(budgets.as_array().map_or(&[], Vec::as_slice), COLUMNS, true);
            }
            Self::Reset(named) => ("/v1/budgets/reset", named, "it begins anew"),
            Self::GiveBack(named) => ("/v1/budgets/give-back-lost", named, "it is given back"),
        };
        api.post(path).asking(&whose)?.query("name", Some(name)).done().await?;
        form.sentence(told)
    }
}
