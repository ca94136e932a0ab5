//! `keyauth limits`.

use clap::Subcommand;

use super::Command;
use super::whose::Whose;
use crate::api::Api;
use crate::shown::Form;
use crate::told::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Limits {
    /// Show the limits that count somebody's use, and how they stand.
    Show(Whose),
    /// Have them begin anew.
    Reset(Whose),
}

impl Command for Limits {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        if !api.counts_limits() {
            return Err(Failure::usage("limits are counted by servers: name one with --server"));
        }
        match self {
            Self::Show(whose) => {
                let limits = api.get("/v1/limits").asking(&whose)?.value().await?;
                let columns =
                    ["limit", "counts", "used", "remaining", "exceeded", "resets_after_ms"];
                form.some(limits.as_array().map_or(&[], Vec::as_slice), &columns, true)
            }
            Self::Reset(whose) => {
                api.post("/v1/limits/reset").asking(&whose)?.done().await?;
                form.sentence("they begin anew")
            }
        }
    }
}
