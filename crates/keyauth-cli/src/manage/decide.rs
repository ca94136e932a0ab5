//! `keyauth verify` and `keyauth explain`.

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::Command;
use crate::api::{Api, Call};
use crate::secret;
use crate::shown::Form;
use crate::told::{Failure, say};

/// What a request brings, besides a key.
#[derive(Args, Debug, Serialize)]
struct Facts {
    /// What is asked for; all together with commas, or each by itself
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    /// From where
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// What is called: its method
    #[arg(long, requires = "path")]
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// And its path
    #[arg(long, requires = "method")]
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// What is used
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    #[command(flatten)]
    facts: Facts,
    /// What the call costs of limits that count cost
    #[arg(long)]
    cost: Option<u64>,
    /// What it is charged, of budgets
    #[arg(long, value_name = "AMOUNT")]
    charge: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// A key's id; without one, a key is asked for or read from standard input
    key: Option<String>,
    #[command(flatten)]
    facts: Facts,
}

/// What is asked for, where no id says which key.
const KEY: &str = "the key";

/// A call, but for the key that makes it.
#[derive(Serialize)]
struct Asked {
    #[serde(flatten)]
    facts: Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<Value>,
}

impl Command for Verify {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let charge = self.charge.map(|amount| json!({"amount": amount}));
        let asked = Asked { facts: self.facts, cost: self.cost, charge };
        let call = api.post("/v1/keys/verify").body_with("key", &secret::ask(KEY)?, &asked)?;
        let mut decision = judged(call, api).await?;
        if !form.is_json()
            && let Some(key) = decision.get_mut("key")
        {
            *key = brief(key);
        }
        form.one(&decision, &["allowed", "code", "detail", "status", "retry_after"])?;
        match decision.get("allowed").and_then(Value::as_bool) {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::refused("the key is not let through")),
            None => Err(Failure::failed("what answers is no management API of keyauth")),
        }
    }
}

/// What is asked about a key that was presented.
async fn judged(call: Call<'_>, api: &Api) -> Result<Value, Failure> {
    call.value().await.map_err(|failure| match api.counts_limits() {
        true => failure,
        false => failure.or("An imported key is recognised by servers: name one with --server."),
    })
}

/// As much of a key as tells which one it is.
fn brief(key: &Value) -> Value {
    let told = ["id", "name", "owner", "group", "tenant"];
    told.into_iter().filter_map(|name| Some((name.to_owned(), key.get(name)?.clone()))).collect()
}

impl Command for Explain {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let keys = api.post("/v1/keys");
        let call = match &self.key {
            Some(id) => keys.at_key(id)?.and("explain").body(&self.facts)?,
            None => {
                let asked = json!({"request": self.facts});
                keys.and("explain").body_with("key", &secret::ask(KEY)?, &asked)?
            }
        };
        let mut explanation = judged(call, api).await?;
        if form.is_json() {
            return form.one(&explanation, &[]);
        }
        // What has columns of its own is shown below.
        let mut take = |name: &str| match explanation.get_mut(name).map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let (stations, limits, budgets) = (take("stations"), take("limits"), take("budgets"));
        let verdict = |station: Value| {
            let code = station.get("code").and_then(Value::as_str).unwrap_or("yes");
            json!({"station": station.get("station"), "verdict": code})
        };
        let stations: Vec<_> = stations.into_iter().map(verdict).collect();
        if let Some(key) = explanation.get_mut("key") {
            *key = brief(key);
        }
        form.one(&explanation, &["key_is", "found_in", "code", "versions"])?;
        let limit = &["limit", "counts", "used", "remaining", "exceeded"][..];
        let all = [
            (stations, &["station", "verdict"][..]),
            (limits, limit),
            (budgets, super::budgets::COLUMNS),
        ];
        for (items, columns) in all.into_iter().filter(|(items, _)| !items.is_empty()) {
            say(b"\n")?;
            form.some(&items, columns, true)?;
        }
        Ok(())
    }
}
