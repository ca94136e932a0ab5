//! One request, and what comes of it.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use keyauth_core::KeyId;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

use super::{Api, problem};
use crate::told::Failure;

/// How many items of a list are asked for at once: the most there are.
const PAGE: usize = 200;
/// What an answer holds at most, in bytes: a page of the largest keys.
const LARGEST: usize = 512 * 1_024 * 1_024;

pub(crate) struct Call<'a> {
    api: &'a Api,
    method: Method,
    path: String,
    query: form_urlencoded::Serializer<'static, String>,
    body: Option<String>,
    name: Option<String>,
    leads_elsewhere: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(api: &'a Api, method: Method, path: &str) -> Self {
        let query = form_urlencoded::Serializer::new(String::new());
        let tenant = api.tenant.clone().filter(|_| !path.starts_with("/v1/tenants"));
        let path = path.to_owned();
        let (body, name, leads_elsewhere) = (None, None, false);
        Self { api, method, path, query, body, name, leads_elsewhere }.query("tenant", tenant)
    }

    /// A part of the path, whatever is in it; but for what leads elsewhere.
    pub(crate) fn at(mut self, part: &str) -> Self {
        self.leads_elsewhere |= matches!(part, "" | "." | "..");
        self.path.push('/');
        self.path.extend(utf8_percent_encode(part, NON_ALPHANUMERIC));
        self
    }

    /// A key's id. Whoever has taken the key itself for that has it sent nowhere.
    pub(crate) fn at_key(self, id: &str) -> Result<Self, Failure> {
        match id.parse::<KeyId>() {
            Ok(id) => Ok(self.at(&id.to_string())),
            Err(_) => {
                Err(Failure::usage("key: must be the id of one, a UUID, and not a key itself"))
            }
        }
    }

    /// A part of the path that is ours.
    pub(crate) fn and(mut self, part: &'static str) -> Self {
        self.path.push('/');
        self.path.push_str(part);
        self
    }

    pub(crate) fn query<T: ToString>(mut self, name: &str, value: Option<T>) -> Self {
        if let Some(value) = value {
            self.query.append_pair(name, &value.to_string());
        }
        self
    }

    /// What is asked, in fields that are called as they are in the query.
    pub(crate) fn asking(mut self, asked: &impl Serialize) -> Result<Self, Failure> {
        let fields = serde_json::to_value(asked).map_err(|error| unwritten(&error))?;
        for (name, value) in fields.as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.query.append_pair(name, &text);
        }
        Ok(self)
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Result<Self, Failure> {
        self.body = Some(serde_json::to_string(body).map_err(|error| unwritten(&error))?);
        Ok(self)
    }

    /// The same with a secret in it, which no type of ours holds beside what it is about.
    pub(crate) fn body_with(
        self,
        field: &str,
        secret: &str,
        rest: &impl Serialize,
    ) -> Result<Self, Failure> {
        let mut body = serde_json::to_value(rest).map_err(|error| unwritten(&error))?;
        if let Some(body) = body.as_object_mut() {
            body.insert(field.to_owned(), secret.into());
        }
        self.body(&body)
    }

    /// Names the request, so that it is done once however often it is sent.
    pub(crate) fn named(mut self, name: Option<String>) -> Self {
        self.name = name;
        self
    }

    /// Whatever is answered.
    pub(crate) async fn sent(mut self) -> Result<Response<Body>, Failure> {
        if self.leads_elsewhere {
            return Err(Failure::usage("an id cannot be empty, and in a path neither . nor .."));
        }
        let query = self.query.finish();
        let uri = if query.is_empty() { self.path } else { format!("{}?{query}", self.path) };
        let mut request = Request::builder().method(self.method).uri(uri);
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(name) = self.name {
            request = request.header("Idempotency-Key", name);
        }
        let request = request.body(self.body.map_or_else(Body::empty, Body::from));
        let request = request.map_err(|_| {
            Failure::usage("idempotency-key: must be 1 to 255 printable ASCII characters")
        })?;
        self.api.send(request).await
    }

    /// What it is answered, piece by piece; problems are failures.
    pub(crate) async fn stream(self) -> Result<(StatusCode, Body), Failure> {
        let (parts, body) = self.sent().await?.into_parts();
        match parts.status.is_success() {
            true => Ok((parts.status, body)),
            false => Err(problem::read(parts.status, &whole(body).await?)),
        }
    }

    /// Whether it is there.
    pub(crate) async fn exists(self) -> Result<bool, Failure> {
        let (parts, body) = self.sent().await?.into_parts();
        match parts.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            status => Err(problem::read(status, &whole(body).await?)),
        }
    }

    /// The object or list that it is answered.
    pub(crate) async fn value(self) -> Result<Value, Failure> {
        Ok(self.answer().await?.1)
    }

    pub(crate) async fn answer(self) -> Result<(StatusCode, Value), Failure> {
        let (status, body) = self.stream().await?;
        let value = serde_json::from_slice(&whole(body).await?);
        let value = value.map_err(|error| {
            Failure::other("what answers is no management API of keyauth", &error)
        })?;
        Ok((status, value))
    }

    pub(crate) async fn done(self) -> Result<(), Failure> {
        self.stream().await.map(drop)
    }

    /// A list, page by page, up to so many; and whether there are more.
    pub(crate) async fn pages(
        self,
        most: Option<usize>,
        mut page: impl FnMut(Vec<Value>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let Self { api, method, path, mut query, leads_elsewhere, .. } = self;
        let query = query.finish();
        let (mut left, mut cursor) = (most, None::<String>);
        loop {
            let count = left.unwrap_or(PAGE).min(PAGE);
            let mut asked = form_urlencoded::Serializer::new(query.clone());
            asked.append_pair("limit", &count.to_string());
            if let Some(cursor) = &cursor {
                asked.append_pair("cursor", cursor);
            }
            let (method, path) = (method.clone(), path.clone());
            let (body, name) = (None, None);
            let asked = Call { api, method, path, query: asked, body, name, leads_elsewhere };
            let mut answer = asked.value().await?;
            let items = match answer.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => return Err(Failure::failed("what answers is no management API of keyauth")),
            };
            let items: Vec<_> = items.into_iter().take(count).collect();
            left = left.map(|left| left.saturating_sub(items.len()));
            page(items)?;
            let next = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() || left == Some(0) {
                return Ok(next.is_some());
            }
            // Whoever answers so would be asked for ever.
            if next == cursor {
                return Err(Failure::failed("the same page comes again and again"));
            }
            cursor = next;
        }
    }
}

/// All of an answer, if it is no larger than any can be.
pub(crate) async fn whole(body: Body) -> Result<Vec<u8>, Failure> {
    let whole = Limited::new(body, LARGEST).collect().await;
    whole.map(|whole| whole.to_bytes().into()).map_err(|error| match error.downcast() {
        Ok(error) => cut_off(&error),
        Err(_) => Failure::failed("the answer is larger than any of a management API"),
    })
}

/// An answer that ends on the way.
pub(crate) fn cut_off(error: &axum::Error) -> Failure {
    Failure::away("the answer was cut off", error)
}

fn unwritten(error: &serde_json::Error) -> Failure {
    Failure::other("the request cannot be written", error)
}
