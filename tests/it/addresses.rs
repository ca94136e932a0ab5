//! Where calls come from, and where they go.

use axum::Router;
use axum::routing::get;
use keyauth_core::{Authenticator, IssuedKey, KeyStore, NewKey, StoreErrorKind};
use keyauth_sqlite::SqliteStore;
use keyauth_sqlite::sqlx::{self, Connection};
use keyauth_tests::{Site, World, app};
use keyauth_tower::{
    ClientAddress, ForwardingHeader, KeyAuthLayer, Principal, RequireEndpoint, RequireResource,
};

const PROXY: &str = "127.0.0.0/8";

async fn call(site: &Site, path: &str, key: &IssuedKey, headers: &[&str]) -> keyauth_tests::Answer {
    let own = format!("X-Api-Key: {}", key.reveal());
    site.get(path, &[&[own.as_str()], headers].concat()).await
}

#[tokio::test]
async fn a1_headers_of_strangers_are_not_believed() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let office = world.issue(NewKey::named("office").allow_address("192.0.2.0/24")).await;
    for forged in [
        "X-Forwarded-For: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
        "X-Real-IP: 192.0.2.1",
        "CF-Connecting-IP: 192.0.2.1",
        "True-Client-IP: 192.0.2.1",
    ] {
        call(&site, "/", &office, &[forged]).await.assert_refused(403, "address_denied");
    }
    let local = world.issue(NewKey::named("local").owner("ada").allow_address(PROXY)).await;
    call(&site, "/", &local, &["X-Forwarded-For: 192.0.2.1"]).await.assert_reached_by("ada");
    // A proxy elsewhere is trusted, but this peer is not it.
    let trusting = ClientAddress::behind(ForwardingHeader::XForwardedFor, ["10.0.0.0/8"]);
    let layer = world.layer().with_client_address(trusting.expect("a network"));
    let site = world.serve_behind(layer).await;
    let answer = call(&site, "/", &office, &["X-Forwarded-For: 192.0.2.1"]).await;
    answer.assert_refused(403, "address_denied");
}

#[tokio::test]
async fn a2_a3_a5_a6_trusted_proxies_are_read_from_the_right() {
    let world = World::default();
    let office =
        world.issue(NewKey::named("office").owner("ada").allow_address("192.0.2.0/24")).await;
    let proxied = ClientAddress::behind(ForwardingHeader::XForwardedFor, [PROXY, "10.0.0.0/8"]);
    let layer = world.layer().with_client_address(proxied.expect("networks"));
    let site = world.serve_behind(layer).await;
    for headers in [
        vec!["X-Forwarded-For: 192.0.2.1"],
        vec!["X-Forwarded-For: 192.0.2.1, 10.0.0.9"],
        vec!["X-Forwarded-For: 198.51.100.1, 192.0.2.1"],
        vec!["X-Forwarded-For: garbage, 192.0.2.1:8080"],
        vec![
            "X-Forwarded-For: 198.51.100.1",
            "X-Forwarded-For: 192.0.2.1",
            "X-Forwarded-For: 10.1.1.1",
        ],
        vec!["X-Forwarded-For: ::ffff:192.0.2.1"],
    ] {
        call(&site, "/", &office, &headers).await.assert_reached_by("ada");
    }
    for headers in [
        vec![],
        vec!["X-Forwarded-For: 192.0.2.1, 198.51.100.1"],
        vec!["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 198.51.100.1"],
        vec!["X-Forwarded-For: 192.0.2.1, garbage"],
        vec!["X-Forwarded-For: 0192.0.2.1"],
        vec!["X-Forwarded-For: 0xc0.0.2.1"],
        vec!["X-Forwarded-For: 192.2.1"],
        vec!["X-Forwarded-For: fe80::1%eth0"],
        vec!["Forwarded: for=192.0.2.1"],
        vec!["X-Real-IP: 192.0.2.1"],
    ] {
        call(&site, "/", &office, &headers).await.assert_refused(403, "address_denied");
    }

    let proxied = ClientAddress::behind(ForwardingHeader::Forwarded, [PROXY]);
    let layer = world.layer().with_client_address(proxied.expect("a network"));
    let site = world.serve_behind(layer).await;
    let six = world.issue(NewKey::named("six").owner("six").allow_address("2001:db8::/32")).await;
    call(&site, "/", &office, &["Forwarded: for=\"192.0.2.1:47011\";proto=https"])
        .await
        .assert_reached_by("ada");
    call(&site, "/", &six, &["Forwarded: for=\"[2001:db8::1]:47011\""])
        .await
        .assert_reached_by("six");
    call(&site, "/", &six, &["Forwarded: for=192.0.2.1, For=\"[2001:db8::1]\""])
        .await
        .assert_reached_by("six");
    call(&site, "/", &six, &["X-Forwarded-For: 2001:db8::1"])
        .await
        .assert_refused(403, "address_denied");
}

#[tokio::test]
async fn a4_deny_beats_allow() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let both = NewKey::named("both").allow_address(PROXY).deny_address("127.0.0.1");
    let both = world.issue(both).await;
    call(&site, "/", &both, &[]).await.assert_refused(403, "address_denied");
    let denied =
        world.issue(NewKey::named("denied").owner("ada").deny_address("192.0.2.0/24")).await;
    call(&site, "/", &denied, &[]).await.assert_reached_by("ada");
}

#[tokio::test]
async fn a4_patterns_from_before_anybody_checked_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    let key = store.issue(NewKey::named("old").owner("ada")).await.expect("a key");
    let world = World::default();
    let site = world.serve_behind(KeyAuthLayer::new(Authenticator::new(store))).await;
    call(&site, "/", &key, &[]).await.assert_reached_by("ada");
    let url = format!("sqlite://{}", file.display());
    let mut old = sqlx::SqliteConnection::connect(&url).await.expect("the file opens");
    for sql in [
        "UPDATE keys SET allow_addresses = '[\"127.0.0.0/99\", \"everywhere\"]'",
        "UPDATE keys SET allow_addresses = '[]', deny_addresses = '[\"nobody\"]'",
    ] {
        sqlx::raw_sql(sql).execute(&mut old).await.expect("valid JSON");
        call(&site, "/", &key, &[]).await.assert_refused(403, "address_denied");
    }
}

#[tokio::test]
async fn an_unknown_address_fails_every_rule() {
    let world = World::default();
    let nowhere = ClientAddress::from_fn(|_| None);
    let site = world.serve_behind(world.layer().with_client_address(nowhere)).await;
    for new in [
        NewKey::named("allow").allow_address("0.0.0.0/0").allow_address("::/0"),
        NewKey::named("deny").deny_address("192.0.2.1"),
    ] {
        let key = world.issue(new).await;
        call(&site, "/", &key, &[]).await.assert_refused(403, "address_denied");
    }
    let free = world.issue(NewKey::named("free").owner("ada")).await;
    call(&site, "/", &free, &[]).await.assert_reached_by("ada");
}

#[tokio::test]
async fn a7_bad_patterns_are_named_one_by_one() {
    let world = World::default();
    let new = NewKey::named("bad")
        .allow_address("10.0.0.0/8")
        .allow_address("10.0.0.0/33")
        .allow_address("10.0.0.1/8")
        .deny_address(" 10.0.0.1")
        .deny_address("fe80::1%eth0");
    let error = world.store.issue(new).await.expect_err("four bad patterns");
    let StoreErrorKind::InvalidInput(input) = error.kind() else { panic!("{error:?}") };
    let fields: Vec<_> = input.problems().iter().map(|problem| problem.field()).collect();
    let expected =
        ["addresses.allow[1]", "addresses.allow[2]", "addresses.deny[0]", "addresses.deny[1]"];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn a8_ambiguous_paths_where_rules_apply() {
    let world = World::default();
    let site = world.serve_behind(world.layer()).await;
    let ruled = world.issue(NewKey::named("ruled").owner("ada").endpoint("/public/**")).await;
    let free = world.issue(NewKey::named("free").owner("free")).await;
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E%2E/admin",
        "//admin",
        "/public//x",
        "/public%2Fx",
        "/public/%2fadmin",
        "/public/%5Cadmin",
        "/public/x;y",
        "/public/%252e%252e/admin",
        "/public/./x",
        "/public/%",
        "/public/%00",
    ] {
        call(&site, path, &ruled, &[]).await.assert_refused(400, "invalid_request");
        call(&site, path, &free, &[]).await.assert_reached_by("free");
    }
    call(&site, "/public/caf%C3%A9?x=..%2f", &ruled, &[]).await.assert_reached_by("ada");
}

#[tokio::test]
async fn a9_rules_see_what_the_router_matches() {
    let world = World::default();
    let owner = async |who: Principal| who.owner().to_string();
    let nested = Router::new()
        .route("/reports", get(owner))
        .route("/admin", get(owner).layer(RequireEndpoint::named()))
        .layer(world.layer());
    let site = world.serve(Router::new().nest("/api", nested)).await;
    let ruled = NewKey::named("ruled").owner("ada").endpoint("GET /api/reports");
    let ruled = world.issue(ruled).await;
    call(&site, "/api/reports", &ruled, &[]).await.assert_reached_by("ada");
    call(&site, "/api/admin", &ruled, &[]).await.assert_refused(403, "endpoint_denied");
    let partial = world.issue(NewKey::named("partial").endpoint("GET /reports")).await;
    call(&site, "/api/reports", &partial, &[]).await.assert_refused(403, "endpoint_denied");

    // A key without rules may go everywhere, but for doors that must be named.
    let free = world.issue(NewKey::named("free").owner("free")).await;
    call(&site, "/api/reports", &free, &[]).await.assert_reached_by("free");
    call(&site, "/api/admin", &free, &[]).await.assert_refused(403, "endpoint_denied");
    let named = world.issue(NewKey::named("named").owner("root").endpoint("/api/*")).await;
    call(&site, "/api/admin", &named, &[]).await.assert_reached_by("root");

    let site = world.serve_behind(world.layer()).await;
    let exact = world.issue(NewKey::named("exact").owner("ada").endpoint("/admin")).await;
    call(&site, "/admin", &exact, &[]).await.assert_reached_by("ada");
    for other in ["/ADMIN", "/admin/", "/admin/x", "/", "/%61dmin"] {
        call(&site, other, &exact, &[]).await.assert_refused(403, "endpoint_denied");
    }
}

#[tokio::test]
async fn resources_are_named_by_the_route() {
    let world = World::default();
    let model = RequireResource::from_fn(|head| {
        head.original_path().strip_prefix("/models/").map(ToOwned::to_owned)
    });
    let site = world.serve(app().layer(model).layer(world.layer())).await;
    let limited = world.issue(NewKey::named("limited").owner("ada").resource("gpt-4*")).await;
    call(&site, "/models/gpt-4o", &limited, &[]).await.assert_reached_by("ada");
    call(&site, "/models/gpt-3", &limited, &[]).await.assert_refused(403, "resource_denied");
    call(&site, "/elsewhere", &limited, &[]).await.assert_refused(403, "resource_denied");
    let free = world.issue(NewKey::named("free").owner("free")).await;
    call(&site, "/models/gpt-3", &free, &[]).await.assert_reached_by("free");
    call(&site, "/elsewhere", &free, &[]).await.assert_reached_by("free");
}
