//! What is asked wrongly: A7, G3, G5, G6, G7, G8, G9, L8.

use serde_json::{Value, json};

use crate::generated::encoded;
use crate::office::{Ask, Office, Told};

crate::on_both_stores! {
    a7_bad_patterns_are_named_one_by_one,
    g3_what_is_not_for_clients_is_named,
    g5_what_is_absent_stays_and_what_is_empty_is_cleared,
    g6_custom_keys_cannot_be_guessed,
    g7_odd_texts_break_nothing,
    g7_odd_texts_break_no_line_of_the_log,
    g8_sql_is_text,
    g8_sql_is_no_credential,
    g9_what_cannot_be_is_named,
}

async fn a7_bad_patterns_are_named_one_by_one(office: Office) {
    let rules = json!({"allow": ["192.0.2.0/24"], "deny": ["192.0.2.7/32"]});
    let (_, key) = office.issue(&json!({"name": "ruled", "addresses": rules})).await;
    let path = format!("/v1/keys/{}", key["id"].as_str().expect("an id"));
    let allow = ["10.0.0.0/8", "10.0.0.0/33", "10.0.0.1/8", "192.0.2.1"];
    let deny = ["198.51.100.1", " 10.0.0.1", "10.0.0.1 ", "10.0.0.0 /8", "2001:db8::/32"];
    let bad = json!({"name": "other", "addresses": {"allow": allow, "deny": deny}});
    for (method, path) in [("POST", "/v1/keys"), ("PATCH", &path)] {
        let answer = office.ask(&Ask::new(method, path).json(&bad)).await;
        let named = [
            "addresses.allow[1]",
            "addresses.allow[2]",
            "addresses.deny[1]",
            "addresses.deny[2]",
            "addresses.deny[3]",
        ];
        assert_eq!(answer.named(), named, "{method}: {}", answer.body);
    }
    assert_eq!(office.get(&path).await.json_of(200), key, "neither its name nor its rules");
    let keys = office.get("/v1/keys").await.json_of(200);
    assert_eq!(keys["items"].as_array().map(Vec::len), Some(2), "the administrator's and this");
}

async fn g3_what_is_not_for_clients_is_named(office: Office) {
    let (_, key) = office.issue(&json!({"name": "strict"})).await;
    let path = format!("/v1/keys/{}", key["id"].as_str().expect("an id"));
    for (body, fields) in [
        (r#"{"tenant_id":"acme"}"#, vec!["tenant_id"]),
        (r#"{"version":7}"#, vec!["version"]),
        (r#"{"used":"0"}"#, vec!["used"]),
        (r#"{"id":"x"}"#, vec!["id"]),
        (r#"{"status":"revoked"}"#, vec!["status"]),
        (r#"{"name":"a","name":"b"}"#, vec!["name"]),
        (r#"{"metadata":{"a":1,"a":2}}"#, vec!["metadata.a"]),
        (r#"{"addresses":{"allow":[],"allow":["192.0.2.1"]}}"#, vec!["addresses.allow"]),
        (r#"{"limits":[{"name":"a","count":1,"window":"1m","used":3}]}"#, vec!["limits[0].used"]),
        (r#"{"name":null}"#, vec!["name"]),
        (r#"{"scopes":null}"#, vec!["scopes"]),
        (r#"{"scopes":"a"}"#, vec!["scopes"]),
        ("[]", vec!["body"]),
        ("", vec!["body"]),
        ("{", vec!["body"]),
        ("{\"name\":\"a\"}x", vec!["body"]),
    ] {
        let answer = office.ask(&Ask::new("PATCH", &path).text(body)).await;
        assert_eq!(answer.named(), fields, "{body}: {}", answer.body);
    }
    for (path, fields) in [
        ("/v1/keys?nonsense=1", vec!["nonsense"]),
        ("/v1/keys?owner=a&owner=b", vec!["owner"]),
        ("/v1/keys?limit=0", vec!["limit"]),
        ("/v1/keys?limit=201", vec!["limit"]),
        ("/v1/keys?limit=many", vec!["limit"]),
        ("/v1/keys?cursor=AAAA", vec!["cursor"]),
        ("/v1/keys?cursor=%00", vec!["cursor"]),
        ("/v1/keys?order=size", vec!["order"]),
        ("/v1/keys?order=name&owner=ada", vec!["order"]),
        ("/v1/keys?prefix=a", vec!["prefix"]),
        ("/v1/keys?status=gone", vec!["status"]),
        ("/v1/keys?tenant=a%20b", vec!["tenant"]),
        ("/v1/audit?cursor=e30", vec!["cursor"]),
        ("/v1/budgets?key=0199", vec!["key"]),
        ("/v1/budgets?key=00000000-0000-7000-8000-000000000000&owner=a", vec!["key"]),
        ("/v1/keys/0199", vec!["path"]),
        ("/v1/owners/a%20b", vec!["path"]),
        ("/v1/owners/%FF", vec!["path"]),
    ] {
        assert_eq!(office.get(path).await.named(), fields, "{path}");
    }
    // A cursor of one order is none of another.
    let first = office.get("/v1/keys?limit=1").await.json_of(200);
    let cursor = first["next_cursor"].as_str().expect("there is another");
    let mixed = office.get(&format!("/v1/keys?order=name&cursor={cursor}")).await;
    assert_eq!(mixed.named(), ["cursor"]);
    let plain = Ask { body: Some("{}".into()), ..Ask::new("PATCH", &path) };
    office.ask(&plain).await.assert_refused(415, "unsupported_media_type");
    let form = plain.header("Content-Type: application/x-www-form-urlencoded");
    office.ask(&form).await.assert_refused(415, "unsupported_media_type");
    office.ask(&Ask::new("POST", &path)).await.assert_refused(405, "method_not_allowed");
}

async fn g5_what_is_absent_stays_and_what_is_empty_is_cleared(office: Office) {
    let new = json!({
        "name": "rules", "owner": "ada", "scopes": ["a"],
        "addresses": {"allow": ["192.0.2.0/24"], "deny": ["192.0.2.7"]},
        "endpoints": ["GET /reports/*"], "resources": ["small"],
        "limits": [{"name": "minute", "count": 10, "window": "1m"}],
        "budgets": [{"name": "month", "limit": "10", "window": "month"}],
        "metadata": {"plan": "pro"}, "expires_in": 3600,
    });
    let (_, key) = office.issue(&new).await;
    let path = format!("/v1/keys/{}", key["id"].as_str().expect("an id"));
    let update =
        async |body: Value| office.ask(&Ask::new("PATCH", &path).json(&body)).await.json_of(200);
    let mut expected = key.clone();
    let mut check = |got: Value, changes: Value| {
        for (name, value) in changes.as_object().expect("an object") {
            expected[name] = value.clone();
        }
        expected["updated_at"] = got["updated_at"].clone();
        assert_eq!(got, expected);
    };
    check(update(json!({})).await, json!({}));
    check(update(json!({"name": "renamed"})).await, json!({"name": "renamed"}));
    let half = json!({"addresses": {"allow": [], "deny": ["192.0.2.7/32"]}});
    check(update(json!({"addresses": {"allow": []}})).await, half);
    let none = json!({"addresses": {"allow": [], "deny": []}});
    check(update(json!({"addresses": {"deny": []}})).await, none);
    for (change, cleared) in [
        (json!({"scopes": []}), json!({"scopes": []})),
        (json!({"endpoints": []}), json!({"endpoints": []})),
        (json!({"resources": []}), json!({"resources": []})),
        (json!({"limits": []}), json!({"limits": []})),
        (json!({"budgets": []}), json!({"budgets": []})),
        (json!({"metadata": {}}), json!({"metadata": {}})),
        (json!({"expires_at": null}), json!({"expires_at": null})),
    ] {
        check(update(change).await, cleared);
    }
}

async fn g6_custom_keys_cannot_be_guessed(office: Office) {
    const TAKEN: &str = "a-key-that-somebody-has-chosen";
    let allow = Ask::new("PATCH", "/v1/tenants/default").json(&json!({"custom_keys": "allowed"}));
    office.ask(&allow).await.json_of(200);
    let choose = |owner: &str, key: &str| {
        let body = json!({"name": "chosen", "owner": owner, "custom_key": key});
        Ask::new("POST", "/v1/keys").json(&body)
    };
    let own = office.ask(&choose("ada", TAKEN)).await.json_of(201);
    for _ in 0..20 {
        office.ask(&choose("eve", TAKEN)).await.assert_refused(409, "key_taken");
    }
    let refused = office.ask(&choose("eve", "another-that-is-free-for-all")).await;
    refused.assert_refused(429, "too_many_guesses");
    let wait: u64 =
        refused.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a time");
    assert!((1..=3_600).contains(&wait), "{wait}");
    let path = format!("/v1/keys/{}", own["key"]["id"].as_str().expect("an id"));
    for action in ["disable", "enable"] {
        office.ask(&Ask::new("POST", &format!("{path}/{action}"))).await.json_of(200);
    }
    office.issue(&json!({"name": "generated", "owner": "eve"})).await;
    office.ask(&choose("eve", TAKEN)).await.assert_refused(429, "too_many_guesses");
    // Others are not held up.
    office.ask(&choose("bob", "another-that-is-free-for-all")).await.json_of(201);
}

async fn g7_odd_texts_break_nothing(office: Office) {
    let long = "x".repeat(1_024 * 1_024);
    for name in ["a\0b", "a\r\nb", "\u{1b}[31mred", "", long.as_str()] {
        let body = json!({"name": name});
        let answer = office.ask(&Ask::new("POST", "/v1/keys").json(&body)).await;
        assert_eq!(answer.named(), ["name"]);
        assert!(answer.body.len() < 1_000, "nothing is repeated");
        for field in ["owner", "group", "prefix"] {
            let body = json!({"name": "odd", field: name});
            let answer = office.ask(&Ask::new("POST", "/v1/keys").json(&body)).await;
            assert!(answer.named().contains(&field.to_owned()), "{field}");
        }
        let metadata = json!({"name": "odd", "metadata": {"text": "a\0b"}});
        let answer = office.ask(&Ask::new("POST", "/v1/keys").json(&metadata)).await;
        assert_eq!(answer.named(), ["metadata"]);
    }
    for deep in [format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)), "{\"a\":".repeat(1_000)] {
        let body = format!("{{\"name\":\"deep\",\"metadata\":{{\"a\":{deep}}}}}");
        let answer = office.ask(&Ask::new("POST", "/v1/keys").text(&body)).await;
        assert_eq!(answer.named(), ["body"]);
    }
    // Many wrong ones are not all told, nor looked for.
    let many = json!({"key": "x", "scopes": vec![""; 100_000]});
    let answer = office.ask(&Ask::new("POST", "/v1/keys/verify").json(&many)).await;
    assert_eq!(answer.named(), ["scopes"]);
    let limit = json!({"name": "", "count": 1, "window": "soon"});
    let many = json!({"name": "odd", "limits": vec![limit; 1_000]});
    let answer = office.ask(&Ask::new("POST", "/v1/keys").json(&many)).await;
    assert_eq!(answer.named(), ["limits"]);
    let large = json!({"name": "odd", "resources": vec!["x".repeat(250); 2_000]});
    let answer = office.ask(&Ask::new("POST", "/v1/keys").json(&large)).await;
    assert_eq!(answer.named(), ["resources"]);
    let slow =
        json!({"name": "a", "count": 1, "window": "744h", "burst": 10_000_000, "unit": "cost"});
    let slow = json!({"name": "odd", "limits": [slow]});
    let answer = office.ask(&Ask::new("POST", "/v1/keys").json(&slow)).await;
    assert_eq!(answer.named(), ["limits[0].burst"]);
    // A key that is taken for a scope is not shown again.
    let (clerk, _) =
        office.issue(&json!({"name": "clerk", "scopes": ["keyauth:keys:write"]})).await;
    let slip = json!({"name": "slip", "scopes": [clerk]});
    let refused = office.ask_as(&clerk, &Ask::new("POST", "/v1/keys").json(&slip)).await;
    refused.assert_refused(403, "grant_denied");
    assert!(!refused.body.contains(&clerk));
    let odd = "{\"name\":\"a\",\"\\u001b[31m\\r\\nx\\u0000\":1}";
    let answer = office.ask(&Ask::new("POST", "/v1/keys").text(odd)).await;
    assert_eq!(answer.named(), ["[31mx"]);
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(3 * 1_024 * 1_024));
    let answer = office.ask(&Ask::new("POST", "/v1/keys").text(&large)).await;
    answer.assert_refused(413, "too_large");
    for header in ["Idempotency-Key: ", "Idempotency-Key: a b"] {
        let ask = Ask::new("POST", "/v1/keys").json(&json!({"name": "odd"})).header(header);
        assert_eq!(office.ask(&ask).await.named(), ["Idempotency-Key"]);
    }
    assert!(!office.world.has_logged("\u{1b}"));
}

async fn g7_odd_texts_break_no_line_of_the_log(office: Office) {
    // All of it printable, so that it may name an owner, and is logged where a key is refused.
    let owner = "%0D%0A\\r\\n\\u001b[31m\"'";
    let (secret, key) = office.issue(&json!({"name": "odd", "owner": owner})).await;
    let id = key["id"].as_str().expect("an id");
    office.ask(&Ask::new("POST", &format!("/v1/keys/{id}/disable"))).await.json_of(200);
    for path in ["/%0D%0A2026-06-03T12:00:00Z%20WARN", "/?%1B%5B31m", "/%E2%80%A8", "/\u{1b}[31m"] {
        for header in [
            "X-Forwarded-For: \u{2028}",
            "User-Agent: \u{85}",
            "X-Odd: \u{1b}[31m",
            "X-\u{1b}[31m: odd",
        ] {
            let answer = office.ask_as(&secret, &Ask::new("GET", path).header(header)).await;
            assert!((400..500).contains(&answer.status), "{path:?} {header:?}: {answer:?}");
        }
    }
    for path in [
        "/v1/owners/%0D%0A",
        "/v1/keys/%1B%5B31m",
        "/v1/keys?tenant=%0Ax",
        "/v1/keys?%0D%0A=x",
        "/v1/keys?cursor=%E2%80%A8",
    ] {
        office.get(path).await.assert_refused(400, "invalid_request");
    }
    assert!(office.world.has_logged(&format!("owner={owner} ")), "there are lines of it");
    assert_eq!(office.world.broken_line(), None);
}

async fn g8_sql_is_text(office: Office) {
    let odd = "'; DROP TABLE keyauth.keys; --";
    let (secret, key) = office.issue(&json!({"name": odd, "owner": "o'hara;--"})).await;
    assert_eq!(key["name"], odd);
    office.call("/", &secret).await.assert_reached_by("o'hara;--");
    let encoded = "%27%3B%20DROP%20TABLE%20keyauth.keys%3B%20--";
    let found = office.get(&format!("/v1/keys?order=name&prefix={encoded}")).await.json_of(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(office.get(&format!("/v1/keys?order={encoded}")).await.named(), ["order"]);
    let owned = office.get("/v1/keys?owner=o%27hara%3B--").await.json_of(200);
    assert_eq!(owned["items"].as_array().map(Vec::len), Some(1));
    let none = office.get("/v1/keys?order=name&prefix=%25").await.json_of(200);
    assert_eq!(none["items"], json!([]));
}

async fn g8_sql_is_no_credential(office: Office) {
    let allow = Ask::new("PATCH", "/v1/tenants/default").json(&json!({"custom_keys": "allowed"}));
    office.ask(&allow).await.json_of(200);
    let (secret, _) = office.issue(&json!({"name": "there", "owner": "ada"})).await;
    // Without spaces they may be keys of other systems, and are looked up.
    for odd in ["' OR 1=1--", "'OR(1=1)--", "';DROP/**/TABLE/**/keyauth.keys;--", "%'OR''LIKE'%_"] {
        office.call("/", odd).await.assert_refused(401, "invalid_key");
        let verify = Ask::new("POST", "/v1/keys/verify").json(&json!({"key": odd}));
        let decision = office.ask(&verify).await.json_of(200);
        let told = (&decision["allowed"], &decision["code"]);
        assert_eq!(told, (&json!(false), &json!("invalid_key")), "{odd}");
        let custom = json!({"name": "chosen", "custom_key": odd});
        let custom = office.ask(&Ask::new("POST", "/v1/keys").json(&custom)).await;
        assert_eq!(custom.named(), ["custom_key"], "{odd}");
        for method in ["GET", "DELETE"] {
            let key = Ask::new(method, &format!("/v1/keys/{}", encoded(odd)));
            assert_eq!(office.ask(&key).await.named(), ["path"], "{odd}");
            // What has no space in it may be an owner's id.
            let (status, code) = match odd.contains(' ') {
                true => (400, "invalid_request"),
                false => (404, "not_found"),
            };
            let owner = Ask::new(method, &format!("/v1/owners/{}", encoded(odd)));
            office.ask(&owner).await.assert_refused(status, code);
        }
    }
    office.call("/", &secret).await.assert_reached_by("ada");
}

async fn g9_what_cannot_be_is_named(office: Office) {
    for (changes, fields) in [
        (json!({"expires_in": -1}), vec!["expires_in"]),
        (json!({"expires_in": 0}), vec!["expires_in"]),
        (json!({"expires_in": 1.5}), vec!["expires_in"]),
        (json!({"expires_in": 9_999_999_999_u64}), vec!["expires_in"]),
        (json!({"expires_in": 5, "expires_at": "2050-01-01T00:00:00Z"}), vec!["expires_in"]),
        (json!({"expires_at": "1969-01-01T00:00:00Z"}), vec!["expires_at"]),
        (json!({"expires_at": "tomorrow"}), vec!["expires_at"]),
        (json!({"addresses": {"allow": ["192.0.2.1/24"]}}), vec!["addresses.allow[0]"]),
        (json!({"addresses": {"deny": ["300.1.1.1"]}}), vec!["addresses.deny[0]"]),
        (json!({"addresses": {"block": []}}), vec!["addresses.block"]),
        (json!({"adresses": {}}), vec!["adresses"]),
        (json!({"scopes": ["a b", "c"]}), vec!["scopes[0]"]),
        (json!({"endpoints": ["reports"]}), vec!["endpoints[0]"]),
        (json!({"prefix": "nobodys"}), vec!["prefix"]),
        (json!({"custom_key": "short"}), vec!["custom_key"]),
        (json!({"group": "none"}), vec!["group"]),
        (json!({"limits": [{"name": "a", "count": -1, "window": "1m"}]}), vec!["limits[0].count"]),
        (json!({"limits": [{"name": "a", "window": "1m"}]}), vec!["limits[0].count"]),
        (json!({"limits": [{"name": "a", "count": 1, "window": "0s"}]}), vec!["limits[0].window"]),
        (
            json!({"limits": [
                {"name": "a", "count": 1, "window": "soon"},
                {"name": "b", "count": 1, "window": "1m", "zone": "Mars/Base"},
            ]}),
            vec!["limits[0].window", "limits[1].zone"],
        ),
        (
            json!({"limits": [{"name": "a", "count": 1, "window": "1m", "per": "tenant"}]}),
            vec!["limits[0].per"],
        ),
        (
            json!({"budgets": [{"name": "a", "limit": "-1", "window": "day"}]}),
            vec!["budgets[0].limit"],
        ),
        (
            json!({"budgets": [{"name": "a", "limit": 1.5, "window": "day"}]}),
            vec!["budgets[0].limit"],
        ),
        (
            json!({"budgets": [{"name": "a", "limit": "1", "window": "0h"}]}),
            vec!["budgets[0].window"],
        ),
        // L8
        (
            json!({"limits": [{"name": "a", "count": "NaN", "window": "1m"}]}),
            vec!["limits[0].count"],
        ),
        (
            json!({"limits": [{"name": "a", "count": -0.5, "window": "1m"}]}),
            vec!["limits[0].count"],
        ),
        (
            json!({"budgets": [{"name": "a", "limit": "NaN", "window": "day"}]}),
            vec!["budgets[0].limit"],
        ),
        (
            json!({"budgets": [{"name": "a", "limit": "Infinity", "window": "day"}]}),
            vec!["budgets[0].limit"],
        ),
        (
            json!({"budgets": [{"name": "a", "limit": "1e999", "window": "day"}]}),
            vec!["budgets[0].limit"],
        ),
        (json!({"name": "", "scopes": ["a b"]}), vec!["name", "scopes[0]"]),
    ] {
        let mut body = json!({"name": "wrong"});
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let answer = office.ask(&Ask::new("POST", "/v1/keys").json(&body)).await;
        assert_eq!(answer.named(), fields, "{body}: {}", answer.body);
    }
    // L8: what no reader of JSON can hold, or is no JSON, is not read as far as its field.
    for infinite in ["1e999", "-1e999", "NaN", "Infinity"] {
        for wrong in [
            format!(r#""limits":[{{"name":"a","count":{infinite},"window":"1m"}}]"#),
            format!(r#""budgets":[{{"name":"a","limit":{infinite},"window":"day"}}]"#),
        ] {
            let body = format!(r#"{{"name":"wrong",{wrong}}}"#);
            let answer = office.ask(&Ask::new("POST", "/v1/keys").text(&body)).await;
            assert_eq!(answer.named(), ["body"], "{body}: {}", answer.body);
        }
    }
    assert_eq!(
        office.get("/v1/keys").await.json_of(200)["items"].as_array().map(Vec::len),
        Some(1)
    );
    let bad_rotation = Ask::new("POST", "/v1/keys/00000000-0000-7000-8000-000000000000/rotate");
    let bad_rotation = bad_rotation.json(&json!({"grace": -1}));
    assert_eq!(office.ask(&bad_rotation).await.named(), ["grace"]);
}
