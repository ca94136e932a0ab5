//! The gateway: reserves what an answer may cost, and charges what was sent of it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http_body::Frame;
use hyper::body::Incoming;
use keyauth_admin::OwnUsage;
use keyauth_core::{Amount, Authenticator, Ledger, UsageLog, UsageReader};
use keyauth_metering::UsageRecorder;
use keyauth_tower::{Charge, KeyAuthLayer, Refusal};
use serde::Deserialize;

use crate::model;

/// The longest answer that can be asked for.
const MOST: u64 = 4_096;

/// What a word costs: in what is asked, and in the answer.
struct Price {
    input: Amount,
    output: Amount,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    model: String,
    prompt: String,
    max_tokens: u64,
}

pub(crate) fn router<S>(
    store: S,
    recorder: UsageRecorder<S>,
    model: SocketAddr,
    auth: Authenticator,
) -> Router
where
    S: Ledger + UsageLog + UsageReader + 'static,
{
    let usage = OwnUsage::new(recorder).with_ledger(store);
    Router::new()
        .route("/v1/completions", post(complete))
        .with_state(model)
        .nest("/v1/usage", usage.into_router())
        .layer(KeyAuthLayer::new(auth))
}

/// What a model's words cost, in units of money.
fn price(model: &str) -> Option<Price> {
    let price = |input, output| Price {
        input: Amount::from_fractions(input),
        output: Amount::from_fractions(output),
    };
    match model {
        "small" => Some(price(50, 200)),
        "large" => Some(price(1_000, 3_000)),
        _ => None,
    }
}

fn times(price: Amount, words: u64) -> Amount {
    let words = i64::try_from(words).unwrap_or(i64::MAX);
    Amount::from_fractions(price.as_fractions().saturating_mul(words))
}

async fn complete(
    State(model): State<SocketAddr>,
    charge: Charge,
    Json(question): Json<Question>,
) -> Result<Response, Refusal> {
    let Some(price) = price(&question.model) else {
        return Ok((StatusCode::BAD_REQUEST, "model: must be small or large\n").into_response());
    };
    if !(1..=MOST).contains(&question.max_tokens) {
        let problem = format!("max_tokens: must be 1 to {MOST}\n");
        return Ok((StatusCode::BAD_REQUEST, problem).into_response());
    }
    let asked = u64::try_from(question.prompt.split_whitespace().count()).unwrap_or(u64::MAX);
    let input = times(price.input, asked);
    let most = input.saturating_add(times(price.output, question.max_tokens));
    charge.uses(&question.model);
    charge.add_input(asked);
    charge.reserve(most).await?;
    let Ok(answer) = model::ask(model, question.max_tokens).await else {
        // Nothing was made, and so nothing is charged.
        return Ok((StatusCode::BAD_GATEWAY, "the model gave no answer\n").into_response());
    };
    charge.add(input);
    let (parts, words) = answer.into_parts();
    Ok(Response::from_parts(parts, Body::new(Counted { words, charge, price, newlines: 0 })))
}

/// An answer on its way, of which each word is counted as it is sent.
struct Counted {
    words: Incoming,
    charge: Charge,
    price: Price,
    /// How many of them came last: two end an event.
    newlines: u8,
}

impl Counted {
    fn count(&mut self, data: &Bytes) {
        for byte in data {
            self.newlines = if *byte == b'\n' { self.newlines + 1 } else { 0 };
            if self.newlines == 2 {
                self.newlines = 0;
                self.charge.add(self.price.output);
                self.charge.add_output(1);
            }
        }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.words).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.count(data);
        }
        Poll::Ready(frame)
    }
}
