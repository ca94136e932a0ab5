//! All calls of a key, as they stream.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use keyauth_admin::{UsageFormat, export_usage};
use keyauth_core::{IssuedKey, LimitedSubject, NewKey, OwnerId, Period, Timestamp, UsageEvent};
use tower::ServiceExt;

use super::world::{World, event};

/// Many pages of calls, many at once, by number.
async fn world_with_calls(count: u64) -> (World, IssuedKey) {
    let world = World::new().await;
    let key = world.issue(NewKey::named("one").owner("ada")).await;
    let call = |number: u64| {
        let minutes = i64::try_from(number / 40).expect("a number");
        UsageEvent { input: number, ..event(&key, minutes) }
    };
    let other = world.issue(NewKey::named("other").owner("ada")).await;
    world.write(vec![event(&other, 0), event(&other, 1)]).await;
    for first in (0..count).step_by(500) {
        world.write((first..count.min(first + 500)).map(call).collect()).await;
    }
    (world, key)
}

#[tokio::test]
async fn each_call_is_exported_once() {
    let (world, key) = world_with_calls(3_456).await;
    let answer = world.get("/usage/calls", &key).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let lines: Vec<serde_json::Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let numbers: Vec<_> =
        lines.iter().map(|line| line["input"].as_u64().expect("a number")).collect();
    assert_eq!(numbers.len(), 3_456);
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (0..3_456).collect());

    let answer = world.get("/usage/calls?format=csv", &key).await;
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"usage.csv\"");
    let mut reader = csv::Reader::from_reader(answer.text.as_bytes());
    let rows = reader.records().map(|row| row.expect("a row")[6].parse().expect("a number"));
    assert_eq!(rows.collect::<BTreeSet<u64>>(), (0..3_456).collect());

    let path = "/usage/calls?from=2026-06-03T12:01:00Z&to=2026-06-03T12:03:00Z";
    assert_eq!(world.get(path, &key).await.text.lines().count(), 80);
    let none = world.get("/usage/calls?from=2020-01-01&to=2020-01-02", &key).await;
    assert_eq!((none.status.as_u16(), none.text.as_str()), (200, ""));
}

/// Texts that clients may have chosen break no row, and are no formulas of a spreadsheet's.
#[tokio::test]
async fn texts_stay_texts() {
    let world = World::new().await;
    let key = world.issue(NewKey::named("one").owner("ada")).await;
    let resource = "=HYPERLINK(\"http://x\",\"a\"),\r\n\u{1b}[2J";
    let odd = UsageEvent { resource: resource.into(), group: None, ..event(&key, 0) };
    world.write(vec![odd]).await;
    let columns = "at,route,resource,status,cost,limit_cost,input,output,duration_us,address";
    let expected = format!(
        "{columns}\r\n2026-06-03T12:00:00Z,POST /chat,\"'=HYPERLINK(\"\"http://x\"\",\
         \"\"a\"\"),\r\n\u{1b}[2J\",200,0.5,1,2,3,1500,192.0.2.1\r\n"
    );
    assert_eq!(world.get("/usage/calls?format=csv", &key).await.text, expected);
    let lines = world.get("/usage/calls", &key).await.text;
    assert_eq!(lines.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&lines).expect("JSON");
    assert_eq!(line["resource"], resource);
    assert_eq!(line.get("tenant"), None, "that is the operator's");
}

/// For operators, whose calls they are is said as well.
#[tokio::test]
async fn operators_export_whose_calls_they_are() {
    let (world, key) = world_with_calls(1_500).await;
    let tenant = keyauth_core::KeyRef::from(&key).tenant;
    let ada = OwnerId::new("ada").expect("an owner");
    let of = LimitedSubject::Owner(tenant, ada);
    let all = Period { start: Timestamp::from_micros(0), end: Timestamp::MAX };
    let mut texts = Vec::new();
    for format in [UsageFormat::JsonLines, UsageFormat::Csv] {
        let response = export_usage(world.store.clone(), of.clone(), all, format).await;
        let body = response.expect("an answer").into_body().collect().await.expect("a whole body");
        texts.push(String::from_utf8(body.to_bytes().into()).expect("text"));
    }
    assert_eq!(texts[0].lines().count(), 1_502);
    let line: serde_json::Value =
        serde_json::from_str(texts[0].lines().next_back().expect("a line")).expect("JSON");
    assert_eq!((&line["key"], &line["owner"]), (&key.id().to_string().into(), &"ada".into()));
    let mut reader = csv::Reader::from_reader(texts[1].as_bytes());
    assert_eq!(reader.headers().expect("a header").iter().nth(4), Some("at"));
    let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!((rows.len(), rows[0].len()), (1_502, 14));
    assert!(rows.iter().all(|row| &row[1] == "ada" && row[2].is_empty()));
}

/// What breaks off is not taken for the end.
#[tokio::test]
async fn an_export_that_breaks_off_is_no_whole_one() {
    let (world, key) = world_with_calls(2_500).await;
    let request = Request::builder().uri("/usage/calls");
    let request = request.header("authorization", format!("Bearer {}", key.reveal()));
    let request = request.body(Body::empty()).expect("a request");
    let response = world.app.clone().oneshot(request).await.expect("an answer");
    let mut body = response.into_body();
    let first = body.frame().await.expect("a page").expect("bytes");
    assert!(first.is_data());
    world.reader.be_away();
    let second = body.frame().await.expect("an end that is none");
    assert!(second.is_err());
}
