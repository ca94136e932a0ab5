//! `keyauth keys`.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use super::Command;
use super::changes::{Bounds, Part, change, metadata};
use super::import::Import;
use crate::api::Api;
use crate::length;
use crate::secret;
use crate::shown::{Form, Metadatum, plain};
use crate::told::{Failure, note, say};

/// What of a key is shown first.
const FIRST: &[&str] = &["id", "name", "owner", "group", "tenant", "status", "hint", "scopes"];
/// What of many is shown.
const COLUMNS: &[&str] = &["id", "name", "owner", "group", "status", "hint", "expires_at"];

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Issue a key. Its text is printed alone on standard output, this once.
    Create(Create),
    /// List keys.
    List(List),
    /// Show a key.
    Show { key: String },
    /// Change a key. What is not named stays as it is; lists are replaced.
    Update(Update),
    /// Give a key a new secret, which is printed alone on standard output, this once.
    Rotate(Rotate),
    /// Refuse a key for good, and wait until all instances do.
    Revoke(Revoke),
    /// Let a key through again that was disabled.
    Enable { key: String },
    /// Refuse a key until it is enabled.
    Disable { key: String },
    /// Revoke a key and put it out of sight. Nothing brings it back.
    Delete { key: String },
    /// Take over keys of another system by their hashes, from a file of JSON lines.
    Import(Import),
}

/// What a key may do.
#[derive(Args, Debug, Serialize)]
struct Terms {
    /// A group to bind it to
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// What it may do; all together with commas, or each by itself
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "Addresses::is_empty")]
    addresses: Addresses,
    /// What it may call, like 'GET /reports/*'
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<String>,
    /// What it may use, like 'gpt-4*'
    #[arg(long = "resource", value_name = "RESOURCE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    bounds: Bounds,
    /// What the application wants to know of it: NAME=VALUE, in JSON or text
    #[arg(long, value_name = "NAME=VALUE")]
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "metadata")]
    metadata: Vec<Metadatum>,
    /// The first instant it works, like 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<String>,
    /// The first instant it no longer works
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

#[derive(Args, Debug, Serialize)]
struct Addresses {
    /// From where it may be used: an address or network
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    /// From where it may not
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

impl Addresses {
    fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Create {
    /// What people call it
    name: String,
    /// Whom it speaks for [default: default]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// What it begins with, of the prefixes that servers accept
    #[arg(long, value_name = "PREFIX", conflicts_with = "custom")]
    #[serde(rename = "prefix", skip_serializing_if = "Option::is_none")]
    key_prefix: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    terms: Terms,
    /// How long it works, instead of --expires-at: 30d, 12h
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "expires_at")]
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    /// Take a secret of the holder's choosing, which is asked for or read from standard input
    #[arg(long)]
    #[serde(skip)]
    custom: bool,
    /// Names the request, so that it is done once however often it is sent
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    idempotency_key: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    part: Part,
}

#[derive(Args, Debug, Serialize)]
struct Which {
    /// Of this owner
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Bound to this group
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// In this state
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<KeyStatus>,
    /// In which order
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
    /// Whose name or hint, by that order, begins so
    #[arg(long, value_name = "TEXT", requires = "order")]
    #[serde(rename = "prefix", skip_serializing_if = "Option::is_none")]
    starting_with: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum KeyStatus {
    Active,
    Disabled,
    Revoked,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum Order {
    Oldest,
    Newest,
    Name,
    Hint,
    Expiry,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Update {
    #[serde(skip)]
    key: String,
    /// What people call it
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    terms: Terms,
    /// What to take away
    #[arg(long, value_name = "FIELD", value_delimiter = ',',
          value_parser = ["group", "scopes", "addresses", "endpoints", "resources", "limits",
                          "budgets", "metadata", "starts-at", "expires-at"])]
    #[serde(skip)]
    clear: Vec<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Rotate {
    #[serde(skip)]
    key: String,
    /// How long the old secret goes on working: 1h, 7d [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    #[serde(skip_serializing_if = "Option::is_none")]
    grace: Option<u64>,
    /// Take a secret of the holder's choosing, which is asked for or read from standard input
    #[arg(long)]
    #[serde(skip)]
    custom: bool,
    /// Names the request, so that it is done once however often it is sent
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    idempotency_key: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Revoke {
    key: String,
    /// How many seconds to wait for it: 1 to 120
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u8).range(1..=120))]
    wait: u8,
    /// Do not wait
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

/// A length of time, in whole seconds.
fn seconds(text: &str) -> Result<u64, &'static str> {
    let length = length::read(text)?;
    match length.subsec_nanos() {
        0 => Ok(length.as_secs()),
        _ => Err("must have whole seconds"),
    }
}

impl Command for Keys {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let keys = "/v1/keys";
        let key = match self {
            Self::Create(create) => return create.run(api, form).await,
            Self::Rotate(rotate) => return rotate.run(api, form).await,
            Self::Import(import) => return import.run(api, form).await,
            Self::Revoke(revoke) => return revoke.run(api, form).await,
            Self::List(List { which, part }) => {
                return part.show(api.get(keys).asking(&which)?, form, COLUMNS).await;
            }
            Self::Delete { key } => {
                api.delete(keys).at_key(&key)?.done().await?;
                return form.sentence(&format!("the key {key} is gone"));
            }
            Self::Show { key } => api.get(keys).at_key(&key)?,
            Self::Enable { key } => api.post(keys).at_key(&key)?.and("enable"),
            Self::Disable { key } => api.post(keys).at_key(&key)?.and("disable"),
            Self::Update(update) => {
                let body = change(&update, &update.clear)?;
                api.patch(keys).at_key(&update.key)?.body(&body)?
            }
        };
        form.one(&key.value().await?, FIRST)
    }
}

impl Create {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let call = api.post("/v1/keys").named(self.idempotency_key.clone());
        let call = match self.custom {
            true => call.body_with("custom_key", &secret::ask("the key's text")?, &self)?,
            false => call.body(&self)?,
        };
        issued(&call.value().await?, form)
    }
}

impl Rotate {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let call = api.post("/v1/keys").at_key(&self.key)?.and("rotate");
        let call = call.named(self.idempotency_key.clone());
        let call = match self.custom {
            true => call.body_with("custom_key", &secret::ask("the key's new text")?, &self)?,
            false => call.body(&self)?,
        };
        issued(&call.value().await?, form)
    }
}

/// Prints a secret alone, so that it can be taken up by whatever reads it.
fn issued(answer: &Value, form: Form) -> Result<(), Failure> {
    if form.is_json() {
        return form.one(answer, &[]);
    }
    let named = |field| plain(answer.pointer(field).and_then(Value::as_str).unwrap_or_default());
    let (id, owner) = (named("/key/id"), named("/key/owner"));
    match answer.get("secret").and_then(Value::as_str) {
        Some(secret) if secret.bytes().all(|byte| byte.is_ascii_graphic()) => {
            // First, since it cannot be had again.
            say(format!("{secret}\n").as_bytes()).map_err(|failure| {
                let lost = format!("key {id} of {owner} was given a text that nobody has read");
                failure.at(&format!("{lost}; `keyauth keys rotate` makes another"))
            })?;
            note(&format!("key {id} of {owner}; its text is shown this once"));
            Ok(())
        }
        Some(_) => Err(Failure::failed("what answers is no management API of keyauth")),
        None => {
            let message = format!(
                "key {id} of {owner}: the request was done before, and its text cannot be had again; \
                 `keyauth keys rotate` makes another"
            );
            Err(Failure::failed(message))
        }
    }
}

impl Revoke {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let call = api.post("/v1/keys").at_key(&self.key)?.and("revoke");
        let answer = call.query("wait", (!self.no_wait).then_some(self.wait)).value().await?;
        match form.is_json() {
            true => form.one(&answer, &[])?,
            false => {
                form.one(answer.get("key").unwrap_or(&Value::Null), FIRST)?;
                let named = |name| (name, answer.get(name).cloned().unwrap_or_default());
                let reached = [named("complete"), named("missing")];
                form.one(&reached.into_iter().collect(), &["complete"])?;
            }
        }
        let complete = answer.get("complete").and_then(Value::as_bool);
        if !self.no_wait && complete != Some(true) {
            return Err(Failure::failed(
                "the key is revoked, and instances have not said yet that they refuse it: see \
                 `missing`; one that was ended without notice counts until its lease ends",
            ));
        }
        Ok(())
    }
}
