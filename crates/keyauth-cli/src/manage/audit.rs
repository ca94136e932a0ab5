//! `keyauth audit`.

use clap::Args;

use super::Command;
use super::changes::Part;
use super::whose::Whose;
use crate::api::Api;
use crate::shown::Form;
use crate::told::Failure;

const COLUMNS: &[&str] = &["at", "actor", "action", "what", "key", "owner", "group", "tenant"];

/// What was before and after each change is shown with --json.
#[derive(Args, Debug)]
pub(crate) struct Audit {
    #[command(flatten)]
    whose: Whose,
    /// In all tenants
    #[arg(long)]
    everywhere: bool,
    #[command(flatten)]
    part: Part,
}

impl Command for Audit {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        if self.everywhere && api.names_tenant() {
            return Err(Failure::usage("everywhere: is there beside tenant"));
        }
        let call = api.get("/v1/audit").asking(&self.whose)?;
        let call = call.query("everywhere", self.everywhere.then_some(true));
        self.part.show(call, form, COLUMNS).await
    }
}
