//! From issued to deleted, over HTTP: S6, R5, R8, R14, M3, M7, M8, and requests that are sent
//! twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::office::{Ask, Office, Told};

crate::on_both_stores! {
    s6_old_secrets_work_for_their_grace,
    r5_what_is_stopped_is_refused_at_once_here_and_soon_elsewhere,
    r8_a_revoke_that_fails_is_told_and_changes_nothing,
    r14_by_hand_is_like_by_the_api,
    m3_a_disabled_key_whose_budget_is_reset_stays_disabled,
    m7_who_has_spent_all_reads_what_on,
    m8_no_request_fails_where_its_use_cannot_be_noted,
    named_requests_are_done_once,
    pages_hold_everything_once,
    groups_are_open_to_whom_they_say,
    owners_and_groups_go_with_their_keys_stopped,
    who_changed_what_is_told,
    keys_of_other_systems_are_taken_over,
}

fn id(key: &Value) -> &str {
    key["id"].as_str().expect("an id")
}

fn post(path: &str) -> Ask {
    Ask::new("POST", path)
}

async fn s6_old_secrets_work_for_their_grace(office: Office) {
    let (first, key) = office.issue(&json!({"name": "rotating", "owner": "ada"})).await;
    let path = format!("/v1/keys/{}", id(&key));
    let rotate = async |grace: u64| {
        let ask = post(&format!("{path}/rotate")).json(&json!({"grace": grace}));
        let rotated = office.ask(&ask).await.json_of(201);
        assert_eq!(rotated["key"]["id"], key["id"]);
        rotated["secret"].as_str().expect("a secret").to_owned()
    };
    let works = async |secret: &str| office.call("/", secret).await.assert_reached_by("ada");
    let refused =
        async |secret: &str, code| office.call("/", secret).await.assert_refused(401, code);
    works(&first).await;
    let second = rotate(100).await;
    works(&first).await;
    works(&second).await;
    office.clock.advance(Duration::from_secs(100));
    refused(&first, "key_expired").await;
    works(&second).await;
    let third = rotate(100).await;
    let fourth = rotate(100).await;
    refused(&second, "key_expired").await;
    works(&third).await;
    works(&fourth).await;
    office.ask(&post(&format!("{path}/revoke"))).await.json_of(200);
    refused(&third, "key_revoked").await;
    refused(&fourth, "key_revoked").await;
    let late = post(&format!("{path}/rotate")).text("{}");
    office.ask(&late).await.assert_refused(409, "key_revoked");
    office.ask(&post(&format!("{path}/enable"))).await.assert_refused(409, "key_revoked");
}

async fn r5_what_is_stopped_is_refused_at_once_here_and_soon_elsewhere(office: Office) {
    for (how, code) in [
        ("disable", "key_disabled"),
        ("revoke", "key_revoked"),
        ("revoke?wait=20", "key_revoked"),
        ("rotate", "key_expired"),
        ("delete", "invalid_key"),
    ] {
        let (secret, key) = office.issue(&json!({"name": how, "owner": "ada"})).await;
        let bearer = format!("Authorization: Bearer {secret}");
        office.call("/", &secret).await.assert_reached_by("ada");
        office.other.get("/", &[&bearer]).await.assert_reached_by("ada");
        let path = format!("/v1/keys/{}", id(&key));
        let answer = match how {
            "delete" => office.ask(&Ask::new("DELETE", &path)).await,
            "rotate" => office.ask(&post(&format!("{path}/rotate")).text("{}")).await,
            _ => office.ask(&post(&format!("{path}/{how}"))).await,
        };
        assert!((200..300).contains(&answer.status), "{how}: {}", answer.body);
        office.call("/", &secret).await.assert_refused(401, code);
        if how == "revoke?wait=20" {
            assert_eq!(answer.json_of(200)["complete"], true);
            office.other.get("/", &[&bearer]).await.assert_refused(401, code);
        }
        office.until(how, async || office.other.get("/", &[&bearer]).await.code() == code).await;
    }
}

async fn r8_a_revoke_that_fails_is_told_and_changes_nothing(office: Office) {
    let (_, first) = office.issue(&json!({"name": "first"})).await;
    office.ask(&post(&format!("/v1/keys/{}/revoke", id(&first)))).await.json_of(200);
    let (secret, key) = office.issue(&json!({"name": "second", "owner": "ada"})).await;
    let bearer = format!("Authorization: Bearer {secret}");
    // The database takes no second one that is revoked.
    let one = "CREATE UNIQUE INDEX one ON keyauth.keys (status) WHERE status = 'revoked'";
    office.by_hand(one).await;
    let path = format!("/v1/keys/{}", id(&key));
    for how in ["revoke", "revoke?wait=1"] {
        office.ask(&post(&format!("{path}/{how}"))).await.assert_refused(503, "unavailable");
        for _ in 0..10 {
            office.call("/", &secret).await.assert_reached_by("ada");
            office.other.get("/", &[&bearer]).await.assert_reached_by("ada");
        }
    }
    assert_eq!(office.get(&path).await.json_of(200)["status"], "active");
    office.by_hand("DROP INDEX keyauth.one").await;
    office.ask(&post(&format!("{path}/revoke"))).await.json_of(200);
    office.call("/", &secret).await.assert_refused(401, "key_revoked");
}

async fn r14_by_hand_is_like_by_the_api(office: Office) {
    let (secret, key) = office.issue(&json!({"name": "by hand", "owner": "ada"})).await;
    let (gone, gone_key) = office.issue(&json!({"name": "gone", "owner": "bob"})).await;
    office.call("/", &secret).await.assert_reached_by("ada");
    office.call("/", &gone).await.assert_reached_by("bob");
    office.by_hand("UPDATE keyauth.keys SET status = 'disabled' WHERE name = 'by hand'").await;
    office
        .until("an update", async || office.call("/", &secret).await.code() == "key_disabled")
        .await;
    let path = format!("/v1/keys/{}", id(&key));
    assert_eq!(office.get(&path).await.json_of(200)["status"], "disabled");
    office.by_hand("UPDATE keyauth.owners SET status = 'inactive' WHERE id = 'bob'").await;
    office
        .until("an owner", async || office.call("/", &gone).await.code() == "owner_inactive")
        .await;
    office.by_hand("DELETE FROM keyauth.keys WHERE name = 'gone'").await;
    office
        .until("a deletion", async || office.call("/", &gone).await.code() == "invalid_key")
        .await;
    let lost = office.get(&format!("/v1/keys/{}", id(&gone_key))).await;
    lost.assert_refused(404, "not_found");
    let audit = office.get(&format!("/v1/audit?key={}", id(&key))).await.json_of(200);
    assert_eq!(audit["items"][0]["actor"], Value::Null, "nobody that the API knows");
    assert_eq!(audit["items"][0]["after"]["status"], "disabled");
}

async fn m3_a_disabled_key_whose_budget_is_reset_stays_disabled(office: Office) {
    let budget = json!({"name": "total", "limit": "1", "window": "total"});
    let (secret, key) =
        office.issue(&json!({"name": "spent", "owner": "ada", "budgets": [budget]})).await;
    let bearer = format!("Authorization: Bearer {secret}");
    office.other.get("/", &[&bearer]).await.assert_reached_by("ada");
    let charge = post("/v1/keys/verify").json(&json!({"key": secret, "charge": {"amount": "1"}}));
    let told = async || office.ask(&charge).await.json_of(200)["code"].clone();
    let path = format!("/v1/budgets?key={}", id(&key));
    let used = async || office.get(&path).await.json_of(200)[0]["used"].clone();
    assert_eq!(told().await, Value::Null);
    // What is reserved would outlast the reset.
    office.until("it is settled", async || used().await == "1").await;
    assert_eq!(told().await, "budget_exhausted");

    let path = format!("/v1/keys/{}", id(&key));
    office.ask(&post(&format!("{path}/disable"))).await.json_of(200);
    let stopped = async || office.other.get("/", &[&bearer]).await.code() == "key_disabled";
    office.until("it is disabled", stopped).await;
    let reset = post(&format!("/v1/budgets/reset?key={}&name=total", id(&key)));
    assert_eq!(office.ask(&reset).await.status, 204);
    assert_eq!(used().await, "0");
    assert_eq!(office.get(&path).await.json_of(200)["status"], "disabled");
    office.call("/", &secret).await.assert_refused(401, "key_disabled");
    office.other.get("/", &[&bearer]).await.assert_refused(401, "key_disabled");
    assert_eq!(told().await, "key_disabled");
    assert_eq!(used().await, "0");

    office.ask(&post(&format!("{path}/enable"))).await.json_of(200);
    office.call("/", &secret).await.assert_reached_by("ada");
    assert_eq!(told().await, Value::Null);
    office.until("it is charged", async || used().await == "1").await;
}

async fn m7_who_has_spent_all_reads_what_on(office: Office) {
    let budget = json!({"name": "total", "limit": "1", "window": "total"});
    let (secret, key) =
        office.issue(&json!({"name": "poor", "owner": "ada", "budgets": [budget]})).await;
    let verify = |amount: &str| {
        let body = json!({"key": secret, "charge": {"amount": amount}});
        post("/v1/keys/verify").json(&body)
    };
    let spent = office.ask(&verify("0.75")).await.json_of(200);
    assert_eq!(spent["allowed"], true);
    let refused = office.ask(&verify("0.5")).await.json_of(200);
    let told = (&refused["allowed"], &refused["code"], &refused["status"]);
    assert_eq!(told, (&json!(false), &json!("budget_exhausted"), &json!(429)));
    // What was settled is on record in a moment.
    let path = format!("/v1/budgets?key={}", id(&key));
    office
        .until("it is settled", async || office.get(&path).await.json_of(200)[0]["used"] == "0.75")
        .await;
    office.ask(&verify("0.25")).await.json_of(200);
    office
        .until("all is settled", async || {
            office.get(&path).await.json_of(200)[0]["exhausted"] == true
        })
        .await;
    office.ask(&verify("0.01")).await.json_of(200)["allowed"]
        .as_bool()
        .filter(|yes| !yes)
        .expect("a no");

    // It reads that by itself.
    let own = office.call("/v1/me/usage", &secret).await.json_of(200);
    assert_eq!(own["budgets"][0]["used"], "1");
    assert_eq!(own["budgets"][0]["remaining"], "0");

    // And may begin anew, at once.
    let reset = post(&format!("/v1/budgets/reset?key={}&name=total", id(&key)));
    assert_eq!(office.ask(&reset).await.status, 204);
    assert_eq!(office.ask(&verify("1")).await.json_of(200)["allowed"], true);
    let other = post(&format!("/v1/budgets/reset?key={}&name=other", id(&key)));
    office.ask(&other).await.assert_refused(404, "not_found");
}

async fn m8_no_request_fails_where_its_use_cannot_be_noted(office: Office) {
    let (secret, key) = office.issue(&json!({"name": "used", "owner": "ada"})).await;
    office.by_hand("ALTER TABLE keyauth.key_usage RENAME TO away").await;
    for _ in 0..20 {
        office.call("/", &secret).await.assert_reached_by("ada");
    }
    office.by_hand("ALTER TABLE keyauth.away RENAME TO key_usage").await;
    // Of all time, since calls are recorded by the machine's clock.
    let usage = format!("/v1/usage?key={}&from=2020-01-01&to=2100-01-01", id(&key));
    let written = async || office.get(&usage).await.json_of(200)["total"]["requests"] == 20;
    office.until("all of it is written", written).await;
    let used = office.get(&format!("/v1/keys/{}", id(&key))).await.json_of(200);
    assert_ne!(used["last_used_at"], Value::Null);
}

async fn named_requests_are_done_once(office: Office) {
    let new = json!({"name": "once", "owner": "ada"});
    let issue = post("/v1/keys").json(&new).header("Idempotency-Key: 7b6f");
    let first = office.ask(&issue).await.json_of(201);
    let again = office.ask(&issue).await.json_of(200);
    assert_eq!((&again["secret"], &again["key"]), (&Value::Null, &first["key"]));
    let other = post("/v1/keys").json(&json!({"name": "other"})).header("Idempotency-Key: 7b6f");
    office.ask(&other).await.assert_refused(422, "idempotency_key_taken");
    let named = office.get("/v1/keys?order=name&prefix=o").await.json_of(200);
    assert_eq!(named["items"].as_array().map(Vec::len), Some(1));

    let path = format!("/v1/keys/{}/rotate", id(&first["key"]));
    let rotate = post(&path).text("{}").header("Idempotency-Key: 7b6f-2");
    let rotated = office.ask(&rotate).await.json_of(201);
    let again = office.ask(&rotate).await.json_of(200);
    assert_eq!((&again["secret"], &again["key"]), (&Value::Null, &rotated["key"]));
    let secret = rotated["secret"].as_str().expect("a secret");
    office.call("/", secret).await.assert_reached_by("ada");

    // What was refused was not done.
    let bound = post("/v1/keys").json(&json!({"name": "bound", "group": "plan"}));
    let bound = bound.header("Idempotency-Key: 7b6f-3");
    assert_eq!(office.ask(&bound).await.named(), ["group"]);
    office.ask(&Ask::new("PUT", "/v1/groups/plan").text("{}")).await.json_of(200);
    office.ask(&bound).await.json_of(201);
}

async fn pages_hold_everything_once(office: Office) {
    for number in 0..7 {
        let owner = format!("owner-{}", number % 4);
        let lifetime = 1_000 + 100 * number;
        let key = json!({"name": format!("k{number}"), "owner": owner, "expires_in": lifetime});
        office.issue(&key).await;
        let put = Ask::new("PUT", &format!("/v1/groups/group-{number}")).text("{}");
        office.ask(&put).await.json_of(200);
    }
    for (path, all) in [
        ("/v1/keys?", 8),
        ("/v1/keys?order=newest&", 8),
        ("/v1/keys?order=name&", 8),
        ("/v1/keys?order=name&prefix=k&", 7),
        ("/v1/keys?order=hint&", 8),
        ("/v1/keys?order=expiry&", 7),
        ("/v1/keys?owner=owner-0&", 2),
        ("/v1/keys?status=active&order=newest&", 8),
        ("/v1/owners?", 5),
        ("/v1/groups?", 7),
        ("/v1/owners/owner-0/groups?", 7),
        ("/v1/tenants?", 1),
        ("/v1/audit?", 0),
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = office.get(&format!("{path}limit=3{cursor}")).await.json_of(200);
            let items = page["items"].as_array().expect("a list");
            assert!(items.len() <= 3);
            seen.extend(items.iter().map(|item| item["id"].to_string()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count, "{path}: nothing twice");
        assert!(all == 0 || count == all, "{path}: {count}");
    }
}

async fn groups_are_open_to_whom_they_say(office: Office) {
    let put = async |path: &str, body: Value| office.ask(&Ask::new("PUT", path).json(&body)).await;
    for (group, kind) in [("open", "standard"), ("inner", "exclusive"), ("paid", "subscription")] {
        put(&format!("/v1/groups/{group}"), json!({"kind": kind})).await.json_of(200);
    }
    put("/v1/owners/ada", json!({})).await.json_of(200);
    let open = async || {
        let list = office.get("/v1/owners/ada/groups").await.json_of(200);
        let items = list["items"].as_array().expect("a list").iter();
        items.map(|group| group["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    let issue = |group: &str| {
        post("/v1/keys").json(&json!({"name": "bound", "owner": "ada", "group": group}))
    };
    assert_eq!(open().await, ["open"]);
    office.ask(&issue("open")).await.json_of(201);
    assert_eq!(office.ask(&issue("inner")).await.named(), ["group"]);
    assert_eq!(office.ask(&issue("paid")).await.named(), ["group"]);
    assert_eq!(office.ask(&Ask::new("PUT", "/v1/groups/inner/members/ada")).await.status, 204);
    put("/v1/groups/paid/subscriptions/ada", json!({})).await.json_of(200);
    assert_eq!(open().await, ["inner", "open", "paid"]);
    let inner = office.ask(&issue("inner")).await.json_of(201);
    let paid = office.ask(&issue("paid")).await.json_of(201);
    let members = office.get("/v1/groups/inner/members").await.json_of(200);
    assert_eq!(members["items"], json!(["ada"]));
    let subscriptions = office.get("/v1/groups/paid/subscriptions").await.json_of(200);
    let expected = json!([{"owner": "ada", "status": "active", "ends_at": null}]);
    assert_eq!(subscriptions["items"], expected);
    let secret = |issued: &Value| issued["secret"].as_str().expect("a secret").to_owned();
    office.call("/", &secret(&inner)).await.assert_reached_by("ada");
    assert_eq!(office.ask(&Ask::new("DELETE", "/v1/groups/inner/members/ada")).await.status, 204);
    office.call("/", &secret(&inner)).await.assert_refused(403, "group_denied");
    office.call("/", &secret(&paid)).await.assert_reached_by("ada");
    put("/v1/groups/paid/subscriptions/ada", json!({"status": "inactive"})).await.json_of(200);
    office.call("/", &secret(&paid)).await.assert_refused(403, "subscription_required");
    let nobody = put("/v1/groups/paid/subscriptions/nobody", json!({})).await;
    assert_eq!(nobody.named(), ["owner"]);
    let ended = Ask::new("DELETE", "/v1/groups/paid/subscriptions/ada");
    assert_eq!(office.ask(&ended).await.status, 204);
}

async fn owners_and_groups_go_with_their_keys_stopped(office: Office) {
    office.ask(&Ask::new("PUT", "/v1/groups/plan").text("{}")).await.json_of(200);
    let new = json!({"name": "bound", "owner": "ada", "group": "plan"});
    let (secret, key) = office.issue(&new).await;
    let delete = |path: &str| Ask::new("DELETE", path);
    office.ask(&delete("/v1/groups/plan")).await.assert_refused(409, "group_in_use");
    let detach = office.ask(&delete("/v1/groups/plan?keys=detach")).await.json_of(200);
    assert_eq!(detach["keys"], 1);
    office.call("/", &secret).await.assert_reached_by("ada");
    let path = format!("/v1/keys/{}", id(&key));
    assert_eq!(office.get(&path).await.json_of(200)["group"], Value::Null);
    let deleted = office.ask(&delete("/v1/owners/ada")).await.json_of(200);
    assert_eq!(deleted["keys"], 1);
    office.call("/", &secret).await.assert_refused(401, "key_revoked");
    office.get("/v1/owners/ada").await.assert_refused(404, "not_found");
    let most = Ask::new("PUT", "/v1/owners/ada").json(&json!({"max_keys": 1}));
    office.ask(&most).await.json_of(200);
    office.issue(&json!({"name": "the one", "owner": "ada"})).await;
    let second = post("/v1/keys").json(&json!({"name": "another", "owner": "ada"}));
    office.ask(&second).await.assert_refused(409, "too_many_keys");
    assert_eq!(office.ask(&delete(&path)).await.status, 204);
    office.ask(&delete(&path)).await.assert_refused(404, "not_found");
}

async fn who_changed_what_is_told(office: Office) {
    let (secret, key) = office.issue(&json!({"name": "watched"})).await;
    let root = office.get("/v1/me").await.json_of(200);
    let path = format!("/v1/keys/{}", id(&key));
    let update = Ask::new("PATCH", &path).json(&json!({"name": "renamed"}));
    office.ask(&update).await.json_of(200);
    let audit = office.get(&format!("/v1/audit?key={}", id(&key))).await.json_of(200);
    let entry = &audit["items"][0];
    assert_eq!(entry["actor"], format!("key:{}", id(&root)));
    assert_eq!((&entry["what"], &entry["action"]), (&json!("key"), &json!("changed")));
    assert_eq!(entry["before"]["name"], "watched");
    assert_eq!(entry["after"]["name"], "renamed");
    let whole = audit.to_string();
    let part = secret.rsplit('_').next().expect("a part");
    assert!(!whole.contains(part), "{whole}");
    assert_eq!(audit["items"][1]["after"]["digest"], "hidden");
}

async fn keys_of_other_systems_are_taken_over(office: Office) {
    let import = json!({
        "key": {"name": "from before", "owner": "ada", "scopes": ["reports:read"]},
        // Of unkey.3ZHuTY3fqbPZ5Z1Q, by SHA-256.
        "hash": "5e75cec0119979cc09dda9d16704632c7b2820102c0ab5cdb6175902dddd5501",
    });
    let ask = post("/v1/keys/import").json(&import);
    let imported = office.ask(&ask).await.json_of(201);
    assert_eq!(imported["secret"], Value::Null);
    office.ask(&ask).await.assert_refused(409, "key_taken");
    let explain = post(&format!("/v1/keys/{}/explain", id(&imported["key"]))).text("{}");
    assert_eq!(office.ask(&explain).await.json_of(200)["key_is"], "never_presented");
    for (hash, begins_with, fields) in [
        ("nonsense", None, vec!["hash"]),
        ("$2b$04$abcdefghijklmnopqrstuuOZ5wV0y2V5Yx0l4r1y8z7N6m5k4j3i2", None, vec!["hash"]),
        (
            "5e75cec0119979cc09dda9d16704632c7b2820102c0ab5cdb6175902dddd5502",
            Some("a"),
            vec!["begins_with"],
        ),
    ] {
        let mut import = import.clone();
        import["hash"] = hash.into();
        if let Some(prefix) = begins_with {
            import["begins_with"] = prefix.into();
        }
        let answer = office.ask(&post("/v1/keys/import").json(&import)).await;
        let named = answer.named();
        assert!(named == fields || named == ["begins_with"], "{hash}: {}", answer.body);
    }
}
