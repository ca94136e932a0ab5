//! Decisions for those who do not link the library.

use std::rc::Rc;

use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};

use crate::office::{Ask, Office, Told};

crate::on_both_stores! {
    l7_what_is_reset_passes_at_once,
    decisions_are_those_of_the_layer,
    limits_count_what_is_asked,
    charges_have_names_where_that_may_be,
    m5_charges_stay_while_their_key_is_edited,
    explanations_say_where_it_ends,
    limits_stand_and_begin_anew,
}

fn verify(body: &Value) -> Ask {
    Ask::new("POST", "/v1/keys/verify").json(body)
}

async fn decisions_are_those_of_the_layer(office: Office) {
    office.ask(&Ask::new("PUT", "/v1/groups/plan").text("{}")).await.json_of(200);
    let new = json!({
        "name": "ruled", "owner": "ada", "scopes": ["reports:read"], "group": "plan",
        "addresses": {"allow": ["192.0.2.0/24"]}, "endpoints": ["GET /reports/*"],
        "resources": ["small*"], "metadata": {"plan": "pro"},
    });
    let (secret, key) = office.issue(&new).await;
    let fits = json!({
        "key": secret, "scopes": ["reports:read"], "address": "::ffff:192.0.2.7", "method": "GET",
        "path": "/reports/7", "resource": "small-1",
    });
    let decision = office.ask(&verify(&fits)).await.json_of(200);
    let told = (&decision["allowed"], &decision["code"], &decision["status"]);
    assert_eq!(told, (&json!(true), &Value::Null, &json!(200)));
    let expected = json!({
        "id": key["id"], "tenant": "default", "owner": "ada", "group": "plan", "name": "ruled",
        "scopes": ["reports:read"], "metadata": {"plan": "pro"},
    });
    assert_eq!(decision["key"], expected);
    for (name, value, status, code) in [
        ("key", json!(secret.replace("sk_test_", "sk_test_0")), 401, "invalid_key"),
        ("key", json!("nonsense"), 401, "invalid_key"),
        ("key", json!(""), 401, "invalid_key"),
        ("scopes", json!(["reports:write"]), 403, "scope_denied"),
        ("address", json!("198.51.100.1"), 403, "address_denied"),
        ("method", json!("POST"), 403, "endpoint_denied"),
        ("path", json!("/reports/../admin"), 400, "invalid_request"),
        ("resource", json!("large"), 403, "resource_denied"),
    ] {
        let mut body = fits.clone();
        body[name] = value;
        let decision = office.ask(&verify(&body)).await.json_of(200);
        let told = (&decision["allowed"], &decision["code"], &decision["status"]);
        assert_eq!(told, (&json!(false), &json!(code), &json!(status)), "{name}");
        assert_eq!(decision["key"], Value::Null, "nothing is told of it");
    }
    let path = format!("/v1/keys/{}", key["id"].as_str().expect("an id"));
    office.ask(&Ask::new("POST", &format!("{path}/disable"))).await.json_of(200);
    assert_eq!(office.ask(&verify(&fits)).await.json_of(200)["code"], "key_disabled");
    for (changes, fields) in [
        (json!({"key": null}), vec!["key"]),
        (json!({"address": "here"}), vec!["address"]),
        (json!({"method": null}), vec!["method"]),
        (json!({"path": null}), vec!["path"]),
        (json!({"scopes": ["a b"]}), vec!["scopes[0]"]),
        (json!({"cost": -1}), vec!["cost"]),
        (json!({"charge": {"amount": "-1"}}), vec!["charge.amount"]),
        (json!({"charge": {"amount": "much"}}), vec!["charge.amount"]),
        // L8
        (json!({"cost": "NaN"}), vec!["cost"]),
        (json!({"cost": -0.5}), vec!["cost"]),
        (json!({"charge": {"amount": "NaN"}}), vec!["charge.amount"]),
        (json!({"charge": {"amount": "Infinity"}}), vec!["charge.amount"]),
        (json!({"charge": {"amount": "1", "id": "a b"}}), vec!["charge.id"]),
        (json!({"quick": true}), vec!["quick"]),
    ] {
        let mut body = fits.clone();
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let answer = office.ask(&verify(&body)).await;
        assert_eq!(answer.named(), fields, "{changes}");
        assert!(!answer.body.contains(&secret), "it shows the key");
    }
}

async fn limits_count_what_is_asked(office: Office) {
    let limits = json!([
        {"name": "minute", "count": 2, "window": "1m"},
        {"name": "tokens", "count": 100, "window": "1h", "unit": "cost"},
    ]);
    let (secret, _) = office.issue(&json!({"name": "limited", "limits": limits})).await;
    let body = json!({"key": secret, "cost": 30});
    let first = office.ask(&verify(&body)).await.json_of(200);
    let used: Vec<_> =
        first["limits"].as_array().expect("a list").iter().map(|limit| &limit["used"]).collect();
    assert_eq!(used, [&json!(1), &json!(30)]);
    let dear = office.ask(&verify(&json!({"key": secret, "cost": 71}))).await.json_of(200);
    assert_eq!(dear["code"], "rate_limited");
    assert_eq!(dear["limits"][1]["exceeded"], true);
    office.ask(&verify(&body)).await.json_of(200);
    let third = office.ask(&verify(&body)).await.json_of(200);
    assert_eq!((&third["code"], &third["status"]), (&json!("rate_limited"), &json!(429)));
    let wait = third["retry_after"].as_u64().expect("a time");
    assert!((1..=64).contains(&wait), "{wait}");
    // The layer counts with it.
    office.call("/", &secret).await.assert_refused(429, "rate_limited");
}

async fn charges_have_names_where_that_may_be(office: Office) {
    let budget = json!({"name": "total", "limit": "10", "window": "total"});
    let (secret, key) = office.issue(&json!({"name": "charged", "budgets": [budget]})).await;
    let named =
        |amount: &str| json!({"key": secret, "charge": {"amount": amount, "id": "invoice-7"}});
    let path = format!("/v1/budgets?key={}", key["id"].as_str().expect("an id"));
    let used = async || office.get(&path).await.json_of(200)[0]["used"].clone();
    assert_eq!(office.ask(&verify(&named("3"))).await.json_of(200)["allowed"], true);
    office.until("it is settled", async || used().await == "3").await;
    assert_eq!(office.ask(&verify(&named("3"))).await.json_of(200)["allowed"], true);
    office.ask(&verify(&named("4"))).await.assert_refused(409, "charge_conflict");
    // One without a name comes after it, and all is in the books then.
    let other = json!({"key": secret, "charge": {"amount": "1"}});
    office.ask(&verify(&other)).await.json_of(200);
    office.until("the other is settled", async || used().await == "4").await;
    let (gateway, _) =
        office.issue(&json!({"name": "gateway", "scopes": ["keyauth:verify"]})).await;
    office.ask_as(&gateway, &verify(&named("3"))).await.assert_refused(403, "scope_denied");
    let unnamed = office.ask_as(&gateway, &verify(&other)).await.json_of(200);
    assert_eq!(unnamed["allowed"], true);
}

async fn m5_charges_stay_while_their_key_is_edited(office: Office) {
    let budget = json!({"name": "total", "limit": "1000", "window": "total"});
    let (secret, key) = office.issue(&json!({"name": "new", "budgets": [budget]})).await;
    let id = key["id"].as_str().expect("an id");
    let charge = verify(&json!({"key": secret, "charge": {"amount": "1"}}));
    // On this thread, since an office cannot be shared with others.
    let (office, here, mut charging) = (Rc::new(office), LocalSet::new(), JoinSet::new());
    for _ in 0..20 {
        let (office, charge) = (Rc::clone(&office), charge.clone());
        let charges = async move {
            let mut allowed = 0_u32;
            for _ in 0..5 {
                let answer = office.ask(&charge).await;
                // Who has waited for too long is told so, and is given back what was reserved.
                if answer.status != 503 {
                    assert_eq!(answer.json_of(200)["allowed"], true);
                    allowed += 1;
                }
            }
            allowed
        };
        charging.spawn_local_on(charges, &here);
    }
    let path = format!("/v1/keys/{id}");
    let (mut allowed, mut edits) = (0_u32, 0_u32);
    let editing = async {
        while !charging.is_empty() {
            edits += 1;
            let edit = Ask::new("PATCH", &path).json(&json!({"name": format!("edit {edits}")}));
            office.ask(&edit).await.json_of(200);
            while let Some(charged) = charging.try_join_next() {
                allowed += charged.expect("no panic");
            }
        }
    };
    here.run_until(editing).await;
    assert!(allowed > 0);
    let (budgets, sum) = (format!("/v1/budgets?key={id}"), allowed.to_string());
    let settled = async || {
        let state = office.get(&budgets).await.json_of(200)[0].clone();
        state["used"] == sum && state["reserved"] == "0"
    };
    office.until("all that was allowed is used", settled).await;
    assert_eq!(office.get(&path).await.json_of(200)["name"], format!("edit {edits}"));
}

async fn explanations_say_where_it_ends(office: Office) {
    let budget = json!({"name": "total", "limit": "10", "window": "total"});
    let limit = json!({"name": "minute", "count": 2, "window": "1m"});
    let new = json!({"name": "why", "owner": "ada", "addresses": {"allow": ["192.0.2.0/24"]},
        "budgets": [budget], "limits": [limit]});
    let (secret, key) = office.issue(&new).await;
    let by_id = format!("/v1/keys/{}/explain", key["id"].as_str().expect("an id"));
    let facts = json!({"address": "198.51.100.1", "scopes": ["reports:read"]});
    let presented =
        Ask::new("POST", "/v1/keys/explain").json(&json!({"key": secret, "request": facts}));
    let by_id = Ask::new("POST", &by_id).json(&facts);
    for ask in [&presented, &by_id] {
        let told = office.ask(ask).await.json_of(200);
        assert_eq!((&told["key_is"], &told["code"]), (&json!("known"), &json!("address_denied")));
        let stations = told["stations"].as_array().expect("a list").iter();
        let no: Vec<_> = stations.filter(|station| station["code"] != Value::Null).collect();
        let expected = [
            json!({"station": "address", "code": "address_denied"}),
            json!({"station": "scopes", "code": "scope_denied"}),
        ];
        assert_eq!(no, expected.iter().collect::<Vec<_>>());
        assert!(told["versions"]["key"].as_u64().is_some_and(|version| version > 0), "{told}");
        assert_eq!(told["limits"][0]["used"], 0);
        assert_eq!(told["budgets"][0]["remaining"], "10");
        assert_eq!(told["key"]["id"], key["id"]);
    }
    // It comes from memory once it was there.
    assert_eq!(office.ask(&presented).await.json_of(200)["found_in"], "memory");
    assert_eq!(office.ask(&by_id).await.json_of(200)["found_in"], "lookup");
    for (text, is) in [
        (secret[..secret.len() - 1].to_owned(), "malformed"),
        ("a-token-of-somebody-else".to_owned(), "unknown"),
        ("?".to_owned(), "foreign"),
    ] {
        let ask = Ask::new("POST", "/v1/keys/explain").json(&json!({"key": text}));
        let told = office.ask(&ask).await.json_of(200);
        assert_eq!((&told["key_is"], &told["code"]), (&json!(is), &json!("invalid_key")));
    }
    // Nothing was counted by all that.
    let path = format!("/v1/limits?key={}", key["id"].as_str().expect("an id"));
    assert_eq!(office.get(&path).await.json_of(200)[0]["used"], 0);
}

async fn limits_stand_and_begin_anew(office: Office) {
    let tenant = json!({"limits": [{"name": "each", "count": 50, "window": "1h", "per": "owner"}]});
    office.ask(&Ask::new("PATCH", "/v1/tenants/default").json(&tenant)).await.json_of(200);
    let owner = json!({"limits": [{"name": "hour", "count": 9, "window": "1h"}]});
    office.ask(&Ask::new("PUT", "/v1/owners/ada").json(&owner)).await.json_of(200);
    let limit = json!({"name": "minute", "count": 2, "window": "1m"});
    let (secret, key) =
        office.issue(&json!({"name": "l", "owner": "ada", "limits": [limit]})).await;
    office.ask(&verify(&json!({"key": secret}))).await.json_of(200);
    let standing = async |query: &str| {
        let told = office.get(&format!("/v1/limits{query}")).await.json_of(200);
        let limits = told.as_array().expect("a list").iter();
        let told = limits.map(|limit| format!("{}={}", limit["limit"]["name"], limit["used"]));
        told.collect::<Vec<_>>().join(" ").replace('"', "")
    };
    let of_key = format!("?key={}", key["id"].as_str().expect("an id"));
    assert_eq!(standing(&of_key).await, "minute=1 hour=1 each=1");
    assert_eq!(standing("?owner=ada").await, "hour=1 each=1");
    assert_eq!(standing("").await, "", "each is for owners");
    let reset = Ask::new("POST", &format!("/v1/limits/reset{of_key}"));
    assert_eq!(office.ask(&reset).await.status, 204);
    assert_eq!(standing(&of_key).await, "minute=0 hour=1 each=1");
    let reset = Ask::new("POST", "/v1/limits/reset?owner=ada");
    assert_eq!(office.ask(&reset).await.status, 204);
    assert_eq!(standing("?owner=ada").await, "hour=0 each=0");
    let nobody = Ask::new("POST", "/v1/limits/reset?owner=nobody");
    office.ask(&nobody).await.assert_refused(404, "not_found");
}

async fn l7_what_is_reset_passes_at_once(office: Office) {
    let limit = json!({"name": "hour", "count": 1, "window": "1h"});
    let new = json!({"name": "spent", "owner": "ada", "limits": [limit]});
    let (secret, key) = office.issue(&new).await;
    let reset = format!("/v1/limits/reset?key={}", key["id"].as_str().expect("an id"));
    for _ in 0..2 {
        office.call("/", &secret).await.assert_reached_by("ada");
        office.call("/", &secret).await.assert_refused(429, "rate_limited");
        assert_eq!(office.ask(&Ask::new("POST", &reset)).await.status, 204);
    }
}
