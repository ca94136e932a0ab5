//! Every answer that the document has, and none that it has not.

use std::collections::{BTreeMap, BTreeSet};

use keyauth_admin::ManagementApi;
use serde_json::{Value, json};

use crate::office::{Ask, Office, Told};

crate::on_both_stores! {
    every_documented_answer_is_given,
}

const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// What was answered, by method and path as the document has it.
#[derive(Default)]
struct Given(BTreeMap<(String, String), BTreeSet<u16>>);

impl Given {
    fn note(&mut self, method: &str, path: &str, status: u16) {
        self.0.entry((method.to_owned(), path.to_owned())).or_default().insert(status);
    }
}

/// The document as JSON, with its operations: method, path, and what is said of it.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            operations.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    operations
}

/// A body that each operation takes, if it takes one.
fn body(method: &str, path: &str, key: &str) -> Option<Value> {
    Some(match (method, path) {
        ("POST", "/v1/keys") => json!({"name": "documented"}),
        ("POST", "/v1/keys/import") => json!({"key": {"name": "imported"}, "hash": HASH}),
        ("POST", "/v1/keys/verify") => json!({"key": key}),
        ("POST", "/v1/keys/explain") => json!({"key": key}),
        ("POST", "/v1/keys/{key}/explain" | "/v1/keys/{key}/rotate") => json!({}),
        ("PUT" | "PATCH", path) if !path.contains("members") => json!({}),
        _ => return None,
    })
}

/// Things to ask about, made anew for each operation, since some take them away.
async fn things(office: &Office) -> (String, String) {
    for path in ["/v1/owners/documented", "/v1/groups/documented"] {
        office.ask(&Ask::new("PUT", path).text("{}")).await.json_of(200);
    }
    let budget = json!({"name": "total", "limit": "9", "window": "total"});
    let key = json!({"name": "thing", "owner": "documented", "budgets": [budget]});
    let (secret, key) = office.issue(&key).await;
    (secret, key["id"].as_str().expect("an id").to_owned())
}

fn path_of(path: &str, key: &str) -> String {
    let path = path.replace("{key}", key).replace("{owner}", "documented");
    let path = path.replace("{group}", "documented").replace("{tenant}", "default");
    match path.as_str() {
        "/v1/budgets/reset" | "/v1/budgets/give-back-lost" => {
            format!("{path}?key={key}&name=total")
        }
        _ => path,
    }
}

fn with(path: &str, parameter: &str) -> String {
    format!("{path}{}{parameter}", if path.contains('?') { '&' } else { '?' })
}

async fn every_documented_answer_is_given(office: Office) {
    let document = serde_json::to_value(ManagementApi::document()).expect("JSON");
    let served = office.send(&Ask::new("GET", "/v1/openapi.json")).await.json_of(200);
    assert_eq!(served, document, "anybody may read it");
    let operations = operations(&document);
    let ids: BTreeSet<_> =
        operations.iter().map(|(.., said)| said["operationId"].to_string()).collect();
    assert_eq!(ids.len(), operations.len(), "each has a name of its own");
    let (stranger, _) = office.issue(&json!({"name": "stranger", "scopes": []})).await;
    let limit = json!({"name": "minute", "count": 0, "window": "1m"});
    let (held_up, _) = office.issue(&json!({"name": "held up", "limits": [limit]})).await;
    let rules = json!({"allow": ["192.0.2.1"]});
    let (elsewhere, _) = office.issue(&json!({"name": "elsewhere", "addresses": rules})).await;
    let scopes = keyauth_admin::ManagementScope::ALL.iter().copied();
    let own: Vec<_> = scopes.filter(|scope| *scope != "keyauth:all-tenants").collect();
    let bound = office.tenant("acme", &own).await;

    let mut given = Given::default();
    for (method, template, operation) in &operations {
        let (secret, id) = things(&office).await;
        let path = path_of(template, &id);
        let body = body(method, template, &secret);
        assert_eq!(body.is_some(), operation.get("requestBody").is_some(), "{method} {template}");
        let ask = |path: &str| match &body {
            Some(body) => Ask::new(method, path).json(body),
            None => Ask::new(method, path),
        };
        let mut note = |answer: keyauth_tests::Answer| {
            given.note(method, template, answer.status);
            check(&document, operation, &answer, &format!("{method} {template}"));
            answer
        };
        note(office.send(&ask(&path)).await);
        note(office.ask_as(&stranger, &ask(&path)).await);
        note(office.ask_as(&held_up, &ask(&path)).await);
        note(office.ask_as(&elsewhere, &ask(&path)).await);
        note(office.ask(&ask(&with(&path, "nonsense=1"))).await);
        note(office.ask_as(&bound, &ask(&with(&path, "tenant=default"))).await);
        note(office.ask_as(&bound, &ask(&path)).await);
        note(office.ask(&ask(&path_of(template, "00000000-0000-7000-8000-000000000000"))).await);
        note(office.ask(&ask(&path.replace("documented", "nobody"))).await);
        if body.is_some() {
            let large = Ask::new(method, &path).text(&" ".repeat(3 * 1_024 * 1_024));
            note(office.ask(&large).await);
            let plain = Ask { body: Some("{}".into()), ..Ask::new(method, &path) };
            note(office.ask(&plain).await);
        }
        named(&office, (method, template, &path), body, &mut note).await;
    }
    conflicts(&office, &mut given).await;

    // Nobody answers without the store; but the administrator's key is at hand.
    let (unseen, _) = things(&office).await;
    office.lose_store().await;
    for (method, template, _) in &operations {
        let path = path_of(template, "00000000-0000-7000-8000-000000000000");
        let mut ask = Ask::new(method, &path);
        if let Some(body) = body(method, template, &unseen) {
            ask = ask.json(&body);
        }
        given.note(method, template, office.ask(&ask).await.status);
        given.note(method, template, office.ask_as(&unseen, &ask).await.status);
    }

    let mut wrong = Vec::new();
    for (method, path, operation) in &operations {
        let documented: BTreeSet<u16> = operation["responses"]
            .as_object()
            .expect("responses")
            .keys()
            .map(|status| status.parse().expect("a status"))
            .collect();
        let given = &given.0[&(method.clone(), path.clone())];
        if *given != documented {
            wrong.push(format!("{method} {path}: given {given:?}, documented {documented:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Requests that have a name: done, done before, and another of the same name.
async fn named(
    office: &Office,
    (method, template, path): (&str, &str, &str),
    body: Option<Value>,
    note: &mut impl FnMut(keyauth_tests::Answer) -> keyauth_tests::Answer,
) {
    let name = format!("Idempotency-Key: {template}");
    let Some(mut body) = body else {
        note(office.ask(&Ask::new(method, path).header(&name)).await);
        return;
    };
    if template == "/v1/keys/import" {
        // Another one than was taken over already.
        body["hash"] = HASH.replace("2cf2", "2cf3").into();
    }
    let ask = |body: &Value| Ask::new(method, path).json(body).header(&name);
    note(office.ask(&ask(&body)).await);
    note(office.ask(&ask(&body)).await);
    match template {
        "/v1/keys" => body["name"] = "other".into(),
        "/v1/keys/import" => body["key"]["name"] = "other".into(),
        "/v1/keys/{key}/rotate" => body["grace"] = 1.into(),
        _ => return,
    }
    note(office.ask(&ask(&body)).await);
}

/// What cannot be as things are.
async fn conflicts(office: &Office, given: &mut Given) {
    let allow = Ask::new("PATCH", "/v1/tenants/default").json(&json!({"custom_keys": "allowed"}));
    office.ask(&allow).await.json_of(200);
    let custom = json!({"name": "chosen", "custom_key": "one-that-somebody-has-chosen"});
    office.issue(&custom).await;
    let issue = office.ask(&Ask::new("POST", "/v1/keys").json(&custom)).await;
    given.note("POST", "/v1/keys", issue.status);
    let import = json!({"key": {"name": "again"}, "hash": HASH});
    let import = office.ask(&Ask::new("POST", "/v1/keys/import").json(&import)).await;
    given.note("POST", "/v1/keys/import", import.status);
    let (_, id) = things(office).await;
    office.ask(&Ask::new("POST", &format!("/v1/keys/{id}/revoke"))).await.json_of(200);
    for (method, template) in [
        ("PATCH", "/v1/keys/{key}"),
        ("POST", "/v1/keys/{key}/rotate"),
        ("POST", "/v1/keys/{key}/enable"),
        ("POST", "/v1/keys/{key}/disable"),
    ] {
        let mut ask = Ask::new(method, &path_of(template, &id));
        if let Some(body) = body(method, template, "") {
            ask = ask.json(&body);
        }
        given.note(method, template, office.ask(&ask).await.status);
    }
    office.issue(&json!({"name": "bound", "owner": "documented", "group": "documented"})).await;
    let delete = office.ask(&Ask::new("DELETE", "/v1/groups/documented")).await;
    given.note("DELETE", "/v1/groups/{group}", delete.status);
    let budget = json!({"name": "total", "limit": "9", "window": "total"});
    let (secret, _) = office.issue(&json!({"name": "charged", "budgets": [budget]})).await;
    for amount in ["1", "2"] {
        let charge = json!({"key": secret, "charge": {"amount": amount, "id": "documented"}});
        let verify = office.ask(&Ask::new("POST", "/v1/keys/verify").json(&charge)).await;
        given.note("POST", "/v1/keys/verify", verify.status);
    }
}

/// An answer is one that the document has, and is shaped as it says.
pub(crate) fn check(
    document: &Value,
    operation: &Value,
    answer: &keyauth_tests::Answer,
    what: &str,
) {
    let documented = &operation["responses"][answer.status.to_string()];
    assert!(documented.is_object(), "{what}: {} is not documented: {}", answer.status, answer.body);
    let Some(content) = documented["content"].as_object() else {
        assert_eq!(answer.body, "", "{what}");
        return;
    };
    let kind = answer.header("content-type").expect("a content type");
    let kind = kind.split(';').next().unwrap_or(kind);
    let media = content.get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not documented"));
    if matches!(kind, "application/json" | "application/problem+json") {
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        let problems = problems(document, &media["schema"], &body, "");
        assert_eq!(problems, Vec::<String>::new(), "{what}: {}", answer.body);
    }
}

/// Where a value is not what a schema says: as far as the document's schemas go.
fn problems(document: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return problems(document, target.expect("what it refers to"), value, path);
    }
    if let Some(any) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        let fits = any.iter().any(|one| problems(document, one, value, path).is_empty());
        return if fits { Vec::new() } else { vec![format!("{path}: none of several")] };
    }
    if let Some(all) = schema["allOf"].as_array() {
        return problems(document, &merged(document, all), value, path);
    }
    let mut found = Vec::new();
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<_> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![is],
    };
    if !types.contains(&is) {
        return vec![format!("{path} is {is}, not {types:?}")];
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{path}.{name} is missing"));
        }
    }
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object())
    {
        for (name, value) in fields {
            let path = format!("{path}.{name}");
            match properties.get(name) {
                Some(schema) => found.extend(problems(document, schema, value, &path)),
                None => found.push(format!("{path} is not documented")),
            }
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(problems(document, &schema["items"], item, &format!("{path}[{at}]")));
    }
    found
}

/// One object of all their properties.
fn merged(document: &Value, all: &[Value]) -> Value {
    let mut merged = json!({"type": "object", "required": [], "properties": {}});
    for one in all {
        let target = one["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
        let one = target.map_or(one, |target| document.pointer(target).expect("what it refers to"));
        for (name, schema) in one["properties"].as_object().into_iter().flatten() {
            merged["properties"][name] = schema.clone();
        }
        let required = one["required"].as_array().cloned().unwrap_or_default();
        merged["required"].as_array_mut().expect("a list").extend(required);
    }
    merged
}
