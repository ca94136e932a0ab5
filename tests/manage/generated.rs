//! Requests made up from the document: none is answered by a failure, and every answer is one that
//! the document has.

use std::collections::BTreeSet;

use keyauth_admin::ManagementApi;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use crate::documented::{check, operations};
use crate::office::{Ask, Office, Told};

crate::on_both_stores! {
    made_up_requests_are_answered,
}

/// How many are made up for each operation, of fitting values and of others: so many, or as many as
/// `KEYAUTH_REQUESTS` says.
const CASES: usize = 24;

async fn made_up_requests_are_answered(office: Office) {
    let document = serde_json::to_value(ManagementApi::document()).expect("JSON");
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRunner::deterministic().rng().clone());
    let cases = std::env::var("KEYAUTH_REQUESTS").ok().and_then(|cases| cases.parse().ok());
    let (mut operations_served, all) = (BTreeSet::new(), operations(&document));
    for (method, path, operation) in &all {
        let id = things(&office).await;
        let requests = request(&document, operation, path, &id);
        for _ in 0..cases.unwrap_or(CASES) {
            let made = requests.new_tree(&mut runner).expect("a request").current();
            let (target, body) = made;
            let mut ask = Ask::new(method, &target);
            if let Some(body) = &body {
                ask = ask.json(body);
            }
            let answer = office.ask(&ask).await;
            let what = format!("{method} {target} {body:?}");
            assert!(answer.status < 500, "{what}: {answer:?}");
            check(&document, operation, &answer, &what);
            if answer.status < 300 {
                operations_served.insert((method, path));
            }
        }
    }
    // Else nothing but refusals would have been tried.
    assert!(operations_served.len() * 4 > all.len() * 3, "{operations_served:?}");
}

/// Things to ask about, made anew for each operation, since some take them away.
async fn things(office: &Office) -> String {
    for path in ["/v1/owners/ada", "/v1/groups/plan", "/v1/tenants/acme"] {
        office.ask(&Ask::new("PUT", path).text("{}")).await.json_of(200);
    }
    let budget = json!({"name": "plan", "limit": "1", "window": "day"});
    let key = json!({"name": "there", "owner": "ada", "expires_in": 90_000, "budgets": [budget]});
    let (_, key) = office.issue(&key).await;
    key["id"].as_str().expect("an id").to_owned()
}

/// A path with its parameters, and a body.
fn request(
    document: &Value,
    operation: &Value,
    path: &str,
    id: &str,
) -> BoxedStrategy<(String, Option<Value>)> {
    let mut target = Just(path.to_owned()).boxed();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().expect("a name").to_owned();
        let values = match name.as_str() {
            "key" => {
                select(vec![id.to_owned(), "00000000-0000-7000-8000-000000000000".into()]).boxed()
            }
            "owner" | "group" | "name" => {
                prop_oneof![select(vec!["ada".to_owned(), "plan".into()]), ".{0,8}"].boxed()
            }
            // Not that of whoever asks, who would be locked out.
            "tenant" if parameter["in"] == "path" => select(vec!["acme".to_owned()]).boxed(),
            "tenant" => prop_oneof![4 => Just("default".to_owned()), 1 => ".{0,8}"].boxed(),
            _ => text_of(document, &parameter["schema"]),
        };
        let at = parameter["in"].as_str().expect("a place").to_owned();
        let values = of(values).boxed();
        target = (target, values)
            .prop_map(move |(target, value)| match (at.as_str(), value) {
                ("path", value) => {
                    let value = value.filter(|value| !value.is_empty()).unwrap_or("x".into());
                    target.replace(&format!("{{{name}}}"), &encoded(&value))
                }
                ("query", Some(value)) => {
                    let separator = if target.contains('?') { '&' } else { '?' };
                    format!("{target}{separator}{name}={}", encoded(&value))
                }
                _ => target,
            })
            .boxed();
    }
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let body = if schema.is_null() {
        Just(None).boxed()
    } else {
        let fitting = value_of(document, schema, 0);
        let spoilt = (value_of(document, schema, 0), any::<prop::sample::Index>(), anything())
            .prop_map(|(mut value, at, odd)| {
                if let Some(fields) = value.as_object_mut().filter(|fields| !fields.is_empty()) {
                    let name = at.get(&fields.keys().cloned().collect::<Vec<_>>()).clone();
                    fields.insert(name, odd);
                }
                value
            });
        prop_oneof![fitting, spoilt].prop_map(Some).boxed()
    };
    (target, body).boxed()
}

/// Whatever JSON there is, and texts that break things.
fn anything() -> BoxedStrategy<Value> {
    let odd =
        ["\0", "\r\n", "\u{1b}[31m", "'; DROP TABLE keys; --", "../..", "\u{10FFFF}", "-1", "NaN"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(odd.to_vec()).prop_map(Value::from),
        ".{0,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|fields| Value::from(Map::from_iter(fields))),
        ]
    })
    .boxed()
}

/// A value as a schema has it, where schemas say enough.
fn value_of(document: &Value, schema: &Value, depth: u32) -> BoxedStrategy<Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return value_of(document, target.expect("what it refers to"), depth);
    }
    if let Some(several) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        let several: Vec<_> = several.iter().map(|one| value_of(document, one, depth)).collect();
        return proptest::strategy::Union::new(several).boxed();
    }
    let types: Vec<_> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec!["null"],
    };
    let values = types.into_iter().map(|kind| match kind {
        "string" => text_of(document, schema).prop_map(Value::from).boxed(),
        "integer" => {
            let least = schema["minimum"].as_u64().unwrap_or(0);
            let most = schema["maximum"].as_u64().unwrap_or(u64::from(u32::MAX));
            (least..=most).prop_map(Value::from).boxed()
        }
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "array" if depth < 3 => {
            vec(value_of(document, &schema["items"], depth + 1), 0..3).prop_map(Value::from).boxed()
        }
        "array" => Just(json!([])).boxed(),
        "object" => object_of(document, schema, depth),
        _ => Just(Value::Null).boxed(),
    });
    proptest::strategy::Union::new(values.collect::<Vec<_>>()).boxed()
}

fn object_of(document: &Value, schema: &Value, depth: u32) -> BoxedStrategy<Value> {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut object = Just(Map::new()).boxed();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let value = value_of(document, schema, depth + 1);
        // Most of what need not be there is not, or nothing would fit.
        let value = if required.contains(&name.as_str()) {
            value.prop_map(Some).boxed()
        } else {
            prop_oneof![4 => Just(None), 1 => value.prop_map(Some)].boxed()
        };
        let name = name.clone();
        object = (object, value)
            .prop_map(move |(mut object, value)| {
                object.extend(value.map(|value| (name.clone(), value)));
                object
            })
            .boxed();
    }
    object.prop_map(Value::from).boxed()
}

fn text_of(document: &Value, schema: &Value) -> BoxedStrategy<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return text_of(document, target.expect("what it refers to"));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
        let pattern = if let Some(stem) = pattern.strip_suffix('+') {
            format!("{stem}{{16,32}}")
        } else {
            pattern.to_owned()
        };
        return string_regex(&pattern).expect("a pattern").boxed();
    }
    match schema["format"].as_str() {
        Some("date-time") => {
            "20[3-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T[01][0-9]:[0-5][0-9]:00Z".boxed()
        }
        _ if schema["type"] == "integer" => {
            any::<u16>().prop_map(|number| number.to_string()).boxed()
        }
        _ => prop_oneof!["[a-z:]{1,12}", ".{0,24}"].boxed(),
    }
}

/// A text with every byte of it percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
