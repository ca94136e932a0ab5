//! A server, by what it answers.

use axum::http::header::DATE;
use keyauth_admin::ManagementScope;
use keyauth_core::{Clock, SystemClock};
use serde_json::Value;

use super::report::{Report, ask};
use crate::api::{Api, Place, whole};
use crate::told::Failure;

pub(super) async fn look(report: &mut Report, place: Place) -> Result<(), Failure> {
    let api = Api::of_server(place)?;
    let clock = SystemClock::new();
    let began = clock.uptime();
    let answer = match ask(api.get("/healthz").sent()).await {
        Ok(answer) => answer,
        Err(error) => {
            return report.bad("server", &error, "see that it runs, and that --server names it");
        }
    };
    let took = clock.uptime().saturating_sub(began);
    match answer.status().is_success() {
        true => report.fine("server", &format!("it answers after {took:.1?}"))?,
        false => report.bad(
            "server",
            &format!("/healthz is answered {}", answer.status()),
            "see that --server names `keyauth serve`, and what stands before it",
        )?,
    }
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    if let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
        // It has whole seconds, and the last one may have just begun or ended.
        let ahead = date.timestamp().as_second() as f64 + 0.5 - super::database::seconds(&clock);
        report.clock("the server", if ahead.abs() < 1.0 { 0.0 } else { ahead })?;
    }
    let readiness = ask(async {
        let (parts, body) = api.get("/readyz").sent().await?.into_parts();
        let said = String::from_utf8_lossy(&whole(body).await?).trim().to_owned();
        Ok::<_, Failure>((parts.status.is_success(), said))
    });
    let advice = "run `keyauth doctor` where its database can be reached";
    match readiness.await {
        Ok((true, said)) if said == "ready" => report.fine("readiness", "its database answers")?,
        Ok((true, said)) => report.warn("readiness", &said, advice)?,
        Ok((false, error)) | Err(error) => report.bad("readiness", &error, advice)?,
    }
    match ask(api.get("/v1/me").value()).await {
        Ok(me) => tell_scopes(report, &me),
        Err(error) => {
            report.bad("key", &error, "`keyauth admin-key` beside the database makes one")
        }
    }
}

fn tell_scopes(report: &Report, me: &Value) -> Result<(), Failure> {
    let scopes = me.get("scopes").and_then(Value::as_array);
    let has = |scope: &str| scopes.is_some_and(|scopes| scopes.iter().any(|has| has == scope));
    let name = me.get("name").and_then(Value::as_str).unwrap_or_default();
    let lacking: Vec<_> =
        ManagementScope::ALL.iter().copied().filter(|scope| !has(scope)).collect();
    if lacking.is_empty() {
        return report.fine("key", &format!("{name} may do everything"));
    }
    let found = format!("{name} is let through, and lacks {}", lacking.join(", "));
    report.warn("key", &found, "what needs these is refused; another key may have them")
}
