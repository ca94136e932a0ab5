//! `keyauth audit`.

use clap::Args;
use serde_json::Value;

use super::Command;
use super::changes::Part;
use super::whose::Whose;
use crate::api::Api;
use crate::shown::Form;
use crate::told::Failure;

const COLUMNS: &[&str] =
    &["at", "actor", "action", "what", "change", "key", "owner", "group", "tenant"];

/// All that was before and after each change is shown with --json.
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
        let told = |mut entry: Value| {
            let change = changed(&entry).into();
            if let Some(shown) = entry.as_object_mut().filter(|_| !form.is_json()) {
                shown.insert("change".into(), change);
            }
            entry
        };
        self.part.show_as(call, form, COLUMNS, told).await
    }
}

/// What short fields have become.
fn changed(entry: &Value) -> String {
    const LONG: usize = 40;

    let before = |name: &str| entry.get("before")?.get(name);
    let fields = entry.get("after").and_then(Value::as_object).into_iter().flatten();
    let fields = fields.filter(|(name, now)| before(name).is_some_and(|then| then != *now));
    let told = fields.map(|(name, now)| match now.as_str() {
        // Stores write instants down in ways of their own.
        _ if name.ends_with("_at") => name.clone(),
        Some(now) if now.len() <= LONG => format!("{name}={now}"),
        None if now.is_null() || now.is_boolean() || now.is_number() => format!("{name}={now}"),
        _ => name.clone(),
    });
    told.collect::<Vec<_>>().join(", ")
}
