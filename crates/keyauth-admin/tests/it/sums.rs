//! What a key has used, in sums.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use keyauth_admin::OwnUsage;
use keyauth_core::{
    Amount, Authenticator, Budget, BudgetWindow, Directory, KeyStore, MemoryStore, NewKey, Owner,
    OwnerId, Tenant, TenantId, UsageEvent,
};
use keyauth_tower::KeyAuthLayer;
use serde_json::json;

use super::world::{Reader, World, event};

#[tokio::test]
async fn today_is_told_and_nobody_elses_calls() {
    let world = World::new().await;
    let key = world.issue(NewKey::named("one").owner("ada")).await;
    let other = world.issue(NewKey::named("other").owner("ada")).await;
    let day = 24 * 60;
    let failed = UsageEvent { status: 502, ..event(&key, 719) };
    let events = vec![event(&key, -720), failed, event(&key, -day), event(&key, day)];
    world.write(events).await;
    world.write(vec![event(&other, 0)]).await;
    let answer = world.get("/usage", &key).await;
    let expected = json!({
        "from": "2026-06-03T00:00:00Z",
        "to": "2026-06-04T00:00:00Z",
        "zone": "UTC",
        "total": {
            "requests": 2,
            "failures": 1,
            "cost": "1",
            "limit_cost": 2,
            "input": 4,
            "output": 6,
        },
        "budgets": [],
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let none = world.get("/usage?from=2020-01-01&to=2020-01-02", &key).await;
    assert_eq!(none.json()["total"]["requests"], 0);

    let stranger = Request::builder().uri("/usage").body(Body::empty()).expect("a request");
    assert_eq!(world.call(stranger).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn series_are_told_apart_as_asked() {
    let world = World::new().await;
    let key = world.issue(NewKey::named("one").owner("ada")).await;
    let large = |minutes| UsageEvent { resource: "large".into(), ..event(&key, minutes) };
    world.write(vec![event(&key, 0), large(0), event(&key, 59), large(60)]).await;

    let path = "/usage?every=hour&by=resource&from=2026-06-03T14:00:00%2B02:00";
    let answer = world.get(path, &key).await.json();
    let line = |from: &str, to: &str, resource: &str, requests: u64| {
        json!({
            "from": from,
            "to": to,
            "resource": resource,
            "requests": requests,
            "failures": 0,
            "cost": if requests == 2 { "1" } else { "0.5" },
            "limit_cost": requests,
            "input": 2 * requests,
            "output": 3 * requests,
        })
    };
    let (noon, one, two) = ("2026-06-03T12:00:00Z", "2026-06-03T13:00:00Z", "2026-06-03T14:00:00Z");
    let lines =
        [line(noon, one, "large", 1), line(noon, one, "small", 2), line(one, two, "large", 1)];
    assert_eq!(answer["lines"], json!(lines));
    assert_eq!(answer["total"]["requests"], 4);

    let small = world.get("/usage?resource=small&route=POST%20/chat", &key).await.json();
    assert_eq!((&small["total"]["requests"], small.get("lines")), (&json!(2), None));
    let berlin =
        world.get("/usage?every=day&zone=Europe/Berlin&from=2026-06-01", &key).await.json();
    assert_eq!(berlin["from"], "2026-05-31T22:00:00Z");
    assert_eq!(berlin["lines"][0]["to"], "2026-06-03T22:00:00Z");
    let june = world.get("/usage?every=month&by=route,resource&from=2026-06-01", &key).await.json();
    assert_eq!(june["lines"][1]["route"], "POST /chat");
}

/// How its own budgets stand and its owner's; not what others have spent of the tenant's.
#[tokio::test]
async fn own_budgets_are_told() {
    let world = World::new().await;
    let units = |units| Amount::from_units(units).expect("an amount");
    let total = |name: &str, limit| Budget::new(units(limit), BudgetWindow::Total).named(name);
    let mut tenant = Tenant::new(TenantId::default());
    tenant.budgets = vec![total("all", 1_000)];
    world.store.put_tenant(&tenant).await.expect("a tenant");
    let mut ada = Owner::new(TenantId::default(), OwnerId::new("ada").expect("an owner"));
    ada.budgets = vec![total("owner", 100)];
    world.store.put_owner(&ada).await.expect("an owner");
    let key = NewKey::named("one").owner("ada").budget(total("own", 10));
    let key = world.issue(key).await;
    let answer = world.get("/usage", &key).await.json();
    let budgets = answer["budgets"].as_array().expect("a list");
    let named: Vec<_> = budgets.iter().map(|budget| (&budget["name"], &budget["per"])).collect();
    assert_eq!(named, [(&json!("own"), &json!("key")), (&json!("owner"), &json!("owner"))]);
    let expected = json!({
        "name": "own",
        "per": "key",
        "window": "total",
        "limit": "10",
        "used": "0",
        "reserved": "0",
        "remaining": "10",
        "overrun": "0",
        "lost": "0",
        "began_at": null,
        "ends_at": null,
    });
    assert_eq!(budgets[0], expected);
}

/// "No answer" is not "nothing", and comes after a while.
#[tokio::test]
async fn what_cannot_be_read_is_503() {
    let mut world = World::new().await;
    // Of which nothing waits while the clock is held.
    let store = MemoryStore::new();
    let key = store.issue(NewKey::named("one")).await.expect("a key");
    let usage = OwnUsage::new(world.reader.clone()).into_router();
    let layer = KeyAuthLayer::new(Authenticator::new(store));
    world.app = Router::new().nest("/usage", usage).layer(layer);
    tokio::time::pause();
    for set in [Reader::be_away, Reader::be_silent] {
        set(&world.reader);
        for path in ["/usage", "/usage/calls", "/usage/calls?format=csv"] {
            let answer = world.get(path, &key).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.json()["code"], "unavailable");
            assert_eq!(answer.headers["retry-after"], "1");
        }
    }
}
