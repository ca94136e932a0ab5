//! Whose is what, and who may give what to whom: G1, G2, G4.

use keyauth_tests::Answer;
use serde_json::{Value, json};

use crate::office::{Ask, Office, Told};

crate::on_both_stores! {
    g1_what_is_another_tenants_is_like_what_is_not_there,
    g2_lists_have_ones_own_alone,
    g4_nobody_gives_what_is_not_his,
    g4_keys_of_data_manage_nothing,
    what_is_set_on_a_tenant_is_not_its_own_to_forgive,
}

const NOBODYS: &str = "00000000-0000-7000-8000-000000000000";

const ALL_BUT_TENANTS: &[&str] = &[
    "keyauth:tenants:read",
    "keyauth:tenants:write",
    "keyauth:owners:read",
    "keyauth:owners:write",
    "keyauth:groups:read",
    "keyauth:groups:write",
    "keyauth:keys:read",
    "keyauth:keys:write",
    "keyauth:limits:read",
    "keyauth:limits:write",
    "keyauth:budgets:read",
    "keyauth:budgets:write",
    "keyauth:usage:read",
    "keyauth:audit:read",
    "keyauth:verify",
    "keyauth:explain",
    "keyauth:grant-any",
];

/// Names that stand for others in a request.
type Names<'a> = [(&'a str, &'a str); 4];

/// Asks of what is another tenant's, and of what is nobody's: both are answered alike, to the byte.
async fn told_alike(office: &Office, key: &str, names: [Names<'_>; 2], ask: &Ask) -> Answer {
    let [theirs, nobodys] = names.map(|names| {
        let named = |text: &str| {
            names.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
        };
        let body = ask.body.as_deref().map(named);
        Ask { path: named(&ask.path), body, ..ask.clone() }
    });
    let theirs = office.ask_as(key, &theirs).await;
    let nobodys = office.ask_as(key, &nobodys).await;
    assert_eq!((theirs.status, &theirs.body), (nobodys.status, &nobodys.body), "{ask:?}");
    theirs
}

async fn g1_what_is_another_tenants_is_like_what_is_not_there(office: Office) {
    let acme = office.tenant("acme", ALL_BUT_TENANTS).await;
    let (secret, key) = office.issue(&json!({"name": "ours", "owner": "ada"})).await;
    let id = key["id"].as_str().expect("an id");
    office.ask(&Ask::new("PUT", "/v1/groups/plan").text("{}")).await.json_of(200);
    let names = [
        [("{key}", id), ("{owner}", "ada"), ("{group}", "plan"), ("{tenant}", "default")],
        [("{key}", NOBODYS), ("{owner}", "nobody"), ("{group}", "none"), ("{tenant}", "nobodys")],
    ];
    let inactive = json!({"status": "inactive"});
    let bound = json!({"name": "bound", "group": "{group}"});
    for (method, path, body, status) in [
        ("GET", "/v1/keys/{key}", None, 404),
        ("PATCH", "/v1/keys/{key}", Some(json!({"name": "stolen"})), 404),
        ("DELETE", "/v1/keys/{key}", None, 404),
        ("POST", "/v1/keys/{key}/rotate", Some(json!({})), 404),
        ("POST", "/v1/keys/{key}/revoke", None, 404),
        ("POST", "/v1/keys/{key}/revoke?wait=1", None, 404),
        ("POST", "/v1/keys/{key}/enable", None, 404),
        ("POST", "/v1/keys/{key}/disable", None, 404),
        ("POST", "/v1/keys/{key}/explain", Some(json!({})), 404),
        ("GET", "/v1/limits?key={key}", None, 404),
        ("POST", "/v1/limits/reset?key={key}", None, 404),
        ("GET", "/v1/budgets?key={key}", None, 404),
        ("POST", "/v1/budgets/reset?key={key}&name=total", None, 404),
        ("GET", "/v1/keys/{key}?tenant={tenant}", None, 404),
        ("GET", "/v1/owners/{owner}", None, 404),
        ("PATCH", "/v1/owners/{owner}", Some(inactive.clone()), 404),
        ("DELETE", "/v1/owners/{owner}", None, 404),
        ("GET", "/v1/owners/{owner}/groups", None, 404),
        ("GET", "/v1/limits?owner={owner}", None, 404),
        ("POST", "/v1/budgets/reset?owner={owner}&name=total", None, 404),
        ("GET", "/v1/groups/{group}", None, 404),
        ("PATCH", "/v1/groups/{group}", Some(inactive.clone()), 404),
        ("DELETE", "/v1/groups/{group}?keys=detach", None, 404),
        ("GET", "/v1/groups/{group}/members", None, 404),
        ("GET", "/v1/groups/{group}/subscriptions", None, 404),
        ("GET", "/v1/limits?group={group}", None, 404),
        ("GET", "/v1/tenants/{tenant}", None, 404),
        ("PUT", "/v1/tenants/{tenant}", Some(json!({})), 404),
        ("PATCH", "/v1/tenants/{tenant}", Some(inactive), 404),
        ("GET", "/v1/keys?tenant={tenant}", None, 404),
        ("POST", "/v1/keys?tenant={tenant}", Some(json!({"name": "planted"})), 404),
        ("PUT", "/v1/owners/eve?tenant={tenant}", Some(json!({})), 404),
        ("GET", "/v1/usage?tenant={tenant}", None, 404),
        ("GET", "/v1/audit?tenant={tenant}", None, 404),
        // What is put beside one's own, or only narrows a list.
        ("POST", "/v1/keys", Some(bound), 400),
        ("PUT", "/v1/groups/{group}/members/{owner}", None, 400),
        ("PUT", "/v1/groups/{group}/subscriptions/{owner}", Some(json!({})), 400),
        ("DELETE", "/v1/groups/{group}/members/{owner}", None, 204),
        ("DELETE", "/v1/groups/{group}/subscriptions/{owner}", None, 204),
        ("GET", "/v1/keys?owner={owner}", None, 200),
        ("GET", "/v1/keys?group={group}", None, 200),
        ("GET", "/v1/audit?key={key}", None, 200),
        ("GET", "/v1/audit?owner={owner}", None, 200),
        ("GET", "/v1/usage?key={key}", None, 200),
        ("GET", "/v1/usage?owner={owner}", None, 200),
    ] {
        let mut ask = Ask::new(method, path);
        if let Some(body) = &body {
            ask = ask.json(body);
        }
        let answer = told_alike(&office, &acme, names, &ask).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        if status == 404 {
            answer.assert_refused(404, "not_found");
        }
    }
    office.call("/", &secret).await.assert_reached_by("ada");
    let ours = office.get(&format!("/v1/keys/{id}")).await.json_of(200);
    assert_eq!(ours["name"], "ours");
    for path in ["/v1/groups/plan", "/v1/tenants/default"] {
        assert_eq!(office.get(path).await.json_of(200)["status"], "active");
    }
    for path in ["/v1/owners/eve", "/v1/tenants/nobodys"] {
        office.get(path).await.assert_refused(404, "not_found");
    }

    // A decision says no more than that.
    let unknown = json!({"key": "a-token-of-somebody-else"});
    let verify = |key: &Value| Ask::new("POST", "/v1/keys/verify").json(key);
    let decision = office.ask_as(&acme, &verify(&json!({"key": secret}))).await.json_of(200);
    assert_eq!((&decision["allowed"], &decision["code"]), (&json!(false), &json!("invalid_key")));
    assert_eq!(decision, office.ask_as(&acme, &verify(&unknown)).await.json_of(200));
    let explain = |key: &Value| Ask::new("POST", "/v1/keys/explain").json(key);
    let theirs = explain(&json!({"key": secret}));
    let explained = office.ask_as(&acme, &theirs).await.json_of(200);
    assert_eq!((&explained["key_is"], &explained["key"]), (&json!("unknown"), &Value::Null));
    assert_eq!(explained, office.ask_as(&acme, &explain(&unknown)).await.json_of(200));
    assert_eq!(office.ask(&theirs).await.json_of(200)["key_is"], "known");
}

async fn g2_lists_have_ones_own_alone(office: Office) {
    let acme = office.tenant("acme", ALL_BUT_TENANTS).await;
    let (_, ours) = office.issue(&json!({"name": "a key", "owner": "ada"})).await;
    let (_, theirs) = office.issue_in("acme", &json!({"name": "a key", "owner": "ada"})).await;
    for group in ["plan", "team"] {
        let put = Ask::new("PUT", &format!("/v1/groups/{group}")).text("{}");
        office.ask(&put).await.json_of(200);
    }
    for (path, expected) in [
        ("/v1/keys", 2),
        ("/v1/keys?owner=ada", 1),
        ("/v1/keys?order=name&prefix=a%20key", 1),
        ("/v1/keys?order=hint&prefix=sk_test", 2),
        ("/v1/keys?status=active&order=newest", 2),
        ("/v1/owners", 2),
        ("/v1/groups", 0),
        ("/v1/tenants", 1),
        (&format!("/v1/audit?key={}", ours["id"].as_str().expect("an id")), 0),
    ] {
        let list = office.ask_as(&acme, &Ask::new("GET", path)).await.json_of(200);
        let items = list["items"].as_array().expect("a list");
        assert_eq!(items.len(), expected, "{path}: {list}");
        let own = |item: &Value| item.get("tenant").is_none_or(|tenant| tenant == "acme");
        assert!(items.iter().all(own), "{path}: {list}");
    }
    let audit = office.ask_as(&acme, &Ask::new("GET", "/v1/audit")).await.json_of(200);
    let entries = audit["items"].as_array().expect("a list");
    assert!(entries.iter().any(|entry| entry["key"] == theirs["id"]), "{audit}");
    assert!(entries.iter().all(|entry| entry["tenant"] == "acme"), "{audit}");
    let everywhere = Ask::new("GET", "/v1/audit?everywhere=true");
    office.ask_as(&acme, &everywhere).await.assert_refused(403, "scope_denied");
    let all = office.ask(&everywhere).await.json_of(200);
    let tenants = all["items"].as_array().expect("a list").iter().map(|entry| &entry["tenant"]);
    assert!(tenants.into_iter().any(|tenant| tenant == "default"), "{all}");
    // Who may act everywhere acts in his own unless he names another.
    assert_eq!(
        office.get("/v1/keys").await.json_of(200)["items"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(
        office.get("/v1/tenants").await.json_of(200)["items"].as_array().map(Vec::len),
        Some(2)
    );
}

async fn g4_nobody_gives_what_is_not_his(office: Office) {
    let scopes = ["keyauth:keys:write", "keyauth:keys:read", "reports:read"];
    let clerk = office.tenant("acme", &scopes).await;
    let issue = |scopes: Value| {
        Ask::new("POST", "/v1/keys").json(&json!({"name": "granted", "scopes": scopes}))
    };
    let own = office.ask_as(&clerk, &issue(json!(["reports:read"]))).await.json_of(201);
    for beyond in
        ["reports:write", "keyauth:tenants:write", "keyauth:all-tenants", "keyauth:grant-any"]
    {
        let refused = office.ask_as(&clerk, &issue(json!(["reports:read", beyond]))).await;
        refused.assert_refused(403, "grant_denied");
        assert!(refused.body.contains(beyond) && !refused.body.contains("reports:read"));
        let update =
            Ask::new("PATCH", &format!("/v1/keys/{}", own["key"]["id"].as_str().expect("id")));
        let update = update.json(&json!({"scopes": ["reports:read", beyond]}));
        office.ask_as(&clerk, &update).await.assert_refused(403, "grant_denied");
        let import = json!({
            "key": {"name": "imported", "scopes": [beyond]},
            "hash": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        });
        let import = Ask::new("POST", "/v1/keys/import").json(&import);
        office.ask_as(&clerk, &import).await.assert_refused(403, "scope_denied");
        office.ask(&import).await.json_of(201);
        office.by_hand("DELETE FROM keyauth.keys WHERE name = 'imported'").await;
    }
    // Nor does he get the secret of a key that may do more.
    let (_, mighty) =
        office.issue_in("acme", &json!({"name": "m", "scopes": ["reports:write"]})).await;
    let id = mighty["id"].as_str().expect("an id");
    let rotate = Ask::new("POST", &format!("/v1/keys/{id}/rotate")).text("{}");
    office.ask_as(&clerk, &rotate).await.assert_refused(403, "grant_denied");
    // Nor does he wake it, or take its rules off.
    let path = format!("/v1/keys/{id}");
    for (method, path, body) in [
        ("POST", format!("{path}/enable"), None),
        ("PATCH", path.clone(), Some(json!({"expires_at": null}))),
        ("PATCH", path.clone(), Some(json!({"addresses": {"allow": []}}))),
    ] {
        let mut ask = Ask::new(method, &path);
        if let Some(body) = body {
            ask = ask.json(&body);
        }
        office.ask_as(&clerk, &ask).await.assert_refused(403, "grant_denied");
    }
    let hint = office.get(&format!("/v1/keys/{id}?tenant=acme")).await.json_of(200)["hint"].clone();
    assert_eq!(hint, mighty["hint"], "it was not rotated");

    // Who may give any gives any, but those of administrators.
    let scopes = ["keyauth:keys:write", "keyauth:grant-any"];
    let chief = office.tenant("other", &scopes).await;
    office.ask_as(&chief, &issue(json!(["reports:write"]))).await.json_of(201);
    office.ask_as(&chief, &issue(json!(["keyauth:grant-any"]))).await.json_of(201);
    let beyond = office.ask_as(&chief, &issue(json!(["keyauth:all-tenants"]))).await;
    beyond.assert_refused(403, "grant_denied");
}

async fn g4_keys_of_data_manage_nothing(office: Office) {
    let (data, key) = office.issue(&json!({"name": "data", "scopes": ["reports:read"]})).await;
    let document = keyauth_admin::ManagementApi::document();
    for (path, item) in &document.paths.paths {
        for method in [
            (&item.get, "GET"),
            (&item.post, "POST"),
            (&item.put, "PUT"),
            (&item.patch, "PATCH"),
            (&item.delete, "DELETE"),
        ] {
            let (Some(_), method) = method else { continue };
            if path.starts_with("/v1/me") {
                continue;
            }
            let id = key["id"].as_str().expect("an id");
            let path = path.replace("{key}", id).replace("{owner}", "ada").replace("{group}", "g");
            let path = path.replace("{tenant}", "default");
            let answer = office.ask_as(&data, &Ask::new(method, &path).text("{}")).await;
            answer.assert_refused(403, "scope_denied");
            let stranger = office.send(&Ask::new(method, &path).text("{}")).await;
            stranger.assert_refused(401, "missing_key");
        }
    }
    let me = office.call("/v1/me", &data).await.json_of(200);
    assert_eq!(me["id"], key["id"]);
}

async fn what_is_set_on_a_tenant_is_not_its_own_to_forgive(office: Office) {
    let acme = office.tenant("acme", ALL_BUT_TENANTS).await;
    let terms = json!({
        "limits": [{"name": "hour", "count": 1_000, "window": "1h"}],
        "budgets": [{"name": "month", "limit": "100", "window": "month"}],
    });
    office.ask(&Ask::new("PATCH", "/v1/tenants/acme").json(&terms)).await.json_of(200);
    for path in [
        "/v1/limits/reset",
        "/v1/budgets/reset?name=month",
        "/v1/budgets/give-back-lost?name=month",
    ] {
        office.ask_as(&acme, &Ask::new("POST", path)).await.assert_refused(403, "scope_denied");
        let separator = if path.contains('?') { '&' } else { '?' };
        let ours = Ask::new("POST", &format!("{path}{separator}tenant=acme"));
        assert_eq!(office.ask(&ours).await.status, 204, "{path}");
    }
    // Nor what its keys are charged.
    for (path, dear) in [
        ("/v1/owners/ada", json!({"rate_multiplier": "2"})),
        ("/v1/groups/plan", json!({"rate_multiplier": "2"})),
    ] {
        let put = |body: &Value| Ask::new("PUT", path).json(body);
        office.ask_as(&acme, &put(&json!({}))).await.json_of(200);
        office.ask_as(&acme, &put(&dear)).await.assert_refused(403, "scope_denied");
        let ours = Ask::new("PUT", &format!("{path}?tenant=acme")).json(&dear);
        office.ask(&ours).await.json_of(200);
        // What is dear is not made cheap by leaving it out.
        office.ask_as(&acme, &put(&json!({}))).await.assert_refused(403, "scope_denied");
        let update = Ask::new("PATCH", path).json(&json!({"rate_multiplier": "0.5"}));
        office.ask_as(&acme, &update).await.assert_refused(403, "scope_denied");
        let other = Ask::new("PATCH", path).json(&json!({"status": "inactive"}));
        office.ask_as(&acme, &other).await.json_of(200);
    }
}
