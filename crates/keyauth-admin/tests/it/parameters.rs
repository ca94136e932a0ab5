//! What is asked in a way that means nothing.

use axum::http::StatusCode;
use keyauth_core::NewKey;

use super::world::World;

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new().await;
    let key = world.issue(NewKey::named("one")).await;
    for (query, fields) in [
        ("every=week", vec!["every"]),
        ("every=hour&every=day", vec!["every"]),
        ("by=key", vec!["by"]),
        ("by=", vec!["by"]),
        ("key=0199", vec!["key"]),
        ("tenant=other&owner=eve", vec!["tenant", "owner"]),
        ("from=yesterday&every=never", vec!["every", "from"]),
        ("from=2026-06-04", vec!["from"]),
        ("from=2026-06-02&to=2026-06-02", vec!["to"]),
        ("from=2026-06-03T10:00:00", vec!["from"]),
        ("zone=Mars/Olympus&to=2026-02-30", vec!["zone", "to"]),
        ("from=2020-01-01&every=hour", vec!["every"]),
        ("route=%00", vec!["route"]),
        ("resource=%1b%5b2J", vec!["resource"]),
        ("%0d%0aSet-Cookie:x=1", vec!["Set-Cookie:x"]),
    ] {
        let answer = world.get(&format!("/usage?{query}"), &key).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        let named = problem["errors"].as_array().expect("a list").iter();
        let named: Vec<_> = named.map(|error| error["field"].as_str().expect("a name")).collect();
        assert_eq!(named, fields, "{query}: {problem}");
    }
    for query in ["format=xml", "every=hour", "format=csv&format=csv"] {
        let answer = world.get(&format!("/usage/calls?{query}"), &key).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let many = "a&".repeat(10_000) + &"by=,".repeat(1_000);
    let answer = world.get(&format!("/usage?{many}"), &key).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.len() < 5_000, "{}", answer.text.len());
    let long = "x".repeat(2_000);
    let answer = world.get(&format!("/usage?route={long}"), &key).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let sql = "route='%3B%20DROP%20TABLE%20usage%3B--";
    assert_eq!(world.get(&format!("/usage?{sql}"), &key).await.status, StatusCode::OK);
    assert_eq!(world.get("/usage", &key).await.status, StatusCode::OK);
}
