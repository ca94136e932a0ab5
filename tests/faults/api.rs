//! What is asked of a fleet, over HTTP.

use std::time::Duration;

use keyauth_tests::history::Outcome;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// The management API and `/auth` of all instances.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    addresses: Vec<String>,
    administrator: String,
}

/// A key that was issued.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// Why something was not done, as far as anybody knows.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// It was answered so, and is not done.
    Refused(StatusCode, String),
    /// Nobody knows.
    NoAnswer,
}

impl Api {
    pub(crate) fn new(addresses: Vec<String>, administrator: String) -> Self {
        let client = Client::builder().no_proxy().timeout(PATIENCE).pool_max_idle_per_host(1_024);
        let client = client.build().expect("a client");
        Self { client, addresses, administrator }
    }

    /// How many instances there are.
    pub(crate) fn instances(&self) -> usize {
        self.addresses.len()
    }

    /// Decides about a key, as a proxy asks for it. `None` where nobody listens.
    pub(crate) async fn try_auth(&self, instance: usize, secret: &str) -> Option<Outcome> {
        let asked = self.client.get(format!("{}/auth", self.addresses[instance]));
        Some(match asked.bearer_auth(secret).send().await {
            Err(error) if error.is_connect() => return None,
            Err(_) => Outcome::Unanswered,
            Ok(answer) => match answer.status().as_u16() {
                200 => Outcome::Admitted,
                401 | 403 => Outcome::Refused,
                402 | 429 => Outcome::Held,
                503 => Outcome::Unanswered,
                other => panic!("/auth answered {other}"),
            },
        })
    }

    /// The same, where nobody who listens is no answer.
    pub(crate) async fn auth(&self, instance: usize, secret: &str) -> Outcome {
        self.try_auth(instance, secret).await.unwrap_or(Outcome::Unanswered)
    }

    /// Whether it lets a key through now.
    pub(crate) async fn admits(&self, instance: usize, secret: &str) -> bool {
        self.auth(instance, secret).await == Outcome::Admitted
    }

    /// Issues a key of a body like those of the management API.
    pub(crate) async fn issue(&self, instance: usize, body: &Value) -> Result<Issued, NotDone> {
        let issued = self.post(instance, "/v1/keys", body).await?;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Ok(Issued { id: text(&issued["key"]["id"]), secret: text(&issued["secret"]) })
    }

    /// Revokes a key, waiting so long for all instances to know. Says whether they do.
    pub(crate) async fn revoke(
        &self,
        instance: usize,
        id: &str,
        wait: u8,
    ) -> Result<bool, NotDone> {
        let path = format!("/v1/keys/{id}/revoke?wait={wait}");
        let patience = Duration::from_secs(u64::from(wait)) + PATIENCE;
        let revoked = self.post_within(instance, &path, &json!({}), patience).await?;
        Ok(revoked["complete"].as_bool().expect("it was waited for"))
    }

    pub(crate) async fn post(
        &self,
        instance: usize,
        path: &str,
        body: &Value,
    ) -> Result<Value, NotDone> {
        self.post_within(instance, path, body, PATIENCE).await
    }

    async fn post_within(
        &self,
        instance: usize,
        path: &str,
        body: &Value,
        patience: Duration,
    ) -> Result<Value, NotDone> {
        let asked = self.client.post(format!("{}{path}", self.addresses[instance])).json(body);
        let asked = asked.bearer_auth(&self.administrator).timeout(patience);
        Self::answer(asked).await
    }

    pub(crate) async fn delete(&self, instance: usize, path: &str) -> Result<Value, NotDone> {
        let asked = self.client.delete(format!("{}{path}", self.addresses[instance]));
        Self::answer(asked.bearer_auth(&self.administrator)).await
    }

    pub(crate) async fn get(&self, instance: usize, path: &str) -> Result<Value, NotDone> {
        let asked = self.client.get(format!("{}{path}", self.addresses[instance]));
        Self::answer(asked.bearer_auth(&self.administrator)).await
    }

    async fn answer(asked: reqwest::RequestBuilder) -> Result<Value, NotDone> {
        let answer = asked.send().await.map_err(|_| NotDone::NoAnswer)?;
        let status = answer.status();
        let text = answer.text().await.map_err(|_| NotDone::NoAnswer)?;
        match status.as_u16() {
            200..300 => serde_json::from_str(&text).map_err(|_| NotDone::NoAnswer),
            500.. => Err(NotDone::NoAnswer),
            _ => Err(NotDone::Refused(status, text)),
        }
    }

    /// What an instance takes for the time, to the second.
    pub(crate) async fn date(&self, instance: usize) -> String {
        let asked = self.client.get(format!("{}/healthz", self.addresses[instance]));
        let answer = asked.send().await.expect("an answer");
        answer.headers()["date"].to_str().expect("a date").to_owned()
    }

    /// A counter of an instance's metrics, all of its labels together that a line contains.
    pub(crate) async fn metric(&self, instance: usize, name: &str, labels: &str) -> f64 {
        let asked = self.client.get(format!("{}/metrics", self.addresses[instance]));
        let text = asked.send().await.expect("an answer").text().await.expect("a text");
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.sum()
    }
}
