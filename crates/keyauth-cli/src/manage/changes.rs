//! What is set, and what is taken away.

use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::api::Call;
use crate::shown::{Budget, Form, Limit, Metadatum};
use crate::told::Failure;

/// Whether something works.
#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Active,
    Inactive,
}

/// How often something may be used, and for how much.
#[derive(Args, Debug, Serialize)]
pub(crate) struct Bounds {
    /// How often: NAME:COUNT/WINDOW, like calls:100/1m; after commas burst=, unit=, per=, zone=
    #[arg(long = "rate-limit", value_name = "LIMIT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<Limit>,
    /// For how much: NAME:AMOUNT/WINDOW, like spend:50/month; after commas mode=, per=, zone=
    #[arg(long = "budget", value_name = "BUDGET")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<Budget>,
}

/// How much of a list is shown.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Part {
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    limit: usize,
    /// All of them, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl Part {
    /// Shows it, and says when that was not all.
    pub(super) async fn show(
        self,
        list: Call<'_>,
        form: Form,
        columns: &[&str],
    ) -> Result<(), Failure> {
        self.show_as(list, form, columns, |item| item).await
    }

    /// The same, each thing as it is made of what was answered.
    pub(super) async fn show_as(
        self,
        list: Call<'_>,
        form: Form,
        columns: &[&str],
        made: impl Fn(Value) -> Value,
    ) -> Result<(), Failure> {
        if self.limit == 0 && !self.all {
            return Err(Failure::usage("limit: must be at least 1"));
        }
        let mut is_first = true;
        let page = |items: Vec<Value>| {
            let items: Vec<_> = items.into_iter().map(&made).collect();
            let shown = form.some(&items, columns, is_first);
            is_first = false;
            shown
        };
        let more = list.pages((!self.all).then_some(self.limit), page).await?;
        if more {
            crate::told::note("there are more; --limit shows so many, and --all all");
        }
        Ok(())
    }
}

/// The body of a change: what is set, and without what is taken away.
pub(super) fn change(set: &impl Serialize, cleared: &[String]) -> Result<Value, Failure> {
    let set = serde_json::to_value(set);
    let set = set.map_err(|error| Failure::other("the request cannot be written", &error))?;
    let Value::Object(mut body) = set else { return Ok(set) };
    for name in cleared {
        let field = name.replace('-', "_");
        if body.insert(field, nothing(name)).is_some() {
            return Err(Failure::usage(format!("{name}: cannot be set and cleared at once")));
        }
    }
    if body.is_empty() {
        return Err(Failure::usage("nothing is to be changed; --help says what can be"));
    }
    Ok(Value::Object(body))
}

/// What is no longer there.
fn nothing(field: &str) -> Value {
    match field {
        "scopes" | "endpoints" | "resources" | "limits" | "budgets" => json!([]),
        "addresses" => json!({"allow": [], "deny": []}),
        "metadata" => json!({}),
        _ => Value::Null,
    }
}

/// Makes something that has a name of its own, of the list that is asked and put to; one that is
/// there stays as it is.
pub(super) async fn create(
    what: &str,
    id: &str,
    (get, put): (Call<'_>, Call<'_>),
    body: &impl Serialize,
) -> Result<Value, Failure> {
    if get.at(id).exists().await? {
        let message =
            format!("the {what} {id} is there already; `keyauth {what}s update` changes it");
        return Err(Failure::failed(message));
    }
    put.at(id).body(body)?.value().await
}

pub(super) fn metadata<S: Serializer>(
    given: &[Metadatum],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let twice = given
        .iter()
        .enumerate()
        .find(|(at, one)| given.iter().take(*at).any(|before| before.0 == one.0));
    if let Some((_, Metadatum(name, _))) = twice {
        return Err(serde::ser::Error::custom(format!("metadata {name} is there twice")));
    }
    let all: Map<_, _> =
        given.iter().map(|Metadatum(name, value)| (name.clone(), value.clone())).collect();
    all.serialize(serializer)
}
