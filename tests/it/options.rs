//! What can be set on the layer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CACHE_CONTROL;
use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{Authenticator, NewKey};
use keyauth_testkit::Side;
use keyauth_tests::{Broken, World, app};
use keyauth_tower::{KeyAuthLayer, KeySources, Principal, RequireScope, openai_error};

#[tokio::test]
async fn sources_are_configured() {
    let world = World::default();
    let key = world.issue(NewKey::named("valid").owner("ada")).await;
    let sources = KeySources::new()
        .cookie("session")
        .query("api_key")
        .header("X-Own")
        .from_fn(|head| head.uri.path().strip_prefix("/as/").map(ToOwned::to_owned));
    let site = world.serve_behind(world.layer().with_sources(sources)).await;
    let key = key.reveal();
    for (path, headers) in [
        ("/", vec![format!("Cookie: a=b; session={key}; c=d")]),
        ("/", vec!["Cookie: a=b".to_owned(), format!("Cookie: session=\"{key}\"")]),
        (&format!("/?api_key={key}"), vec![]),
        (&format!("/?a=b&api_key={}", key.replace('_', "%5F")), vec![]),
        ("/", vec![format!("x-own: {key}")]),
        (&format!("/as/{key}"), vec![]),
    ] {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let answer = site.get(path, &headers).await;
        answer.assert_reached_by("ada");
        assert_eq!(answer.header("cache-control"), Some("private"), "{path}");
    }
    for (path, headers) in [
        ("/", vec![format!("Cookie: session={key}; session={key}")]),
        ("/", vec![format!("Cookie: session={key}"), format!("Cookie: session={key}")]),
        (&format!("/?api_key={key}&api_key={key}"), vec![]),
        (&format!("/?other={key}"), vec![]),
    ] {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        site.get(path, &headers).await.assert_refused(400, "invalid_request");
    }
    let answer = site.get("/", &[&format!("Authorization: Bearer {key}")]).await;
    answer.assert_refused(401, "missing_key");
    assert_eq!(answer.header("www-authenticate"), Some("ApiKey realm=\"api\""));
    assert!(answer.body.contains("in the cookie `session`"), "{}", answer.body);
}

#[tokio::test]
async fn shared_caches_are_kept_from_what_they_would_not_know() {
    let world = World::default();
    let public = async || [(CACHE_CONTROL, "public, max-age=60")].into_response();
    let app = app().route("/public", get(public)).layer(world.layer());
    let site = world.serve(app).await;
    let key = world.issue(NewKey::named("valid").owner("ada")).await;
    let own = format!("X-Api-Key: {}", key.reveal());
    assert_eq!(site.get("/", &[&own]).await.header("cache-control"), Some("private"));
    assert_eq!(site.bearer(key.reveal()).await.header("cache-control"), None);
    let chosen = site.get("/public", &[&own]).await;
    assert_eq!(chosen.header("cache-control"), Some("public, max-age=60"));
}

#[tokio::test]
async fn strangers_may_be_let_in_but_bad_keys_not() {
    let world = World::default();
    let site = world.serve_behind(world.layer().optional()).await;
    site.get("/", &[]).await.assert_reached_by("nobody");
    site.get("/", &["Authorization: Basic x"]).await.assert_reached_by("nobody");
    site.bearer("sk_mistyped").await.assert_refused(401, "invalid_key");
    site.bearer("foreign").await.assert_refused(401, "invalid_key");
    let key = world.issue(NewKey::named("valid").owner("ada")).await;
    site.bearer(key.reveal()).await.assert_reached_by("ada");
}

#[tokio::test]
async fn paths_may_be_skipped() {
    let world = World::default();
    let site =
        world.serve_behind(world.layer().skip(|head| head.original_path() == "/health")).await;
    site.get("/health", &["X-Api-Key: sk_mistyped"]).await.assert_reached_by("nobody");
    for other in ["/health/", "/Health", "//health", "/health/../admin", "/%68ealth"] {
        site.get(other, &[]).await.assert_refused(401, "missing_key");
    }
}

#[tokio::test]
async fn http_only_never_answers_in_the_grpc_shape() {
    use http::Request;
    use http_body_util::Empty;
    let world = World::default();
    let routes = app().layer(RequireScope::new("x")).layer(world.layer().http_only());
    let site = world.serve(routes).await;
    let request = || {
        let request = Request::post("/").header("content-type", "application/grpc");
        request.header("x-filler", "x")
    };
    let answer = site.http2(request().body(Empty::new()).expect("a request")).await;
    answer.assert_refused(401, "missing_key");
    let key = world.issue(NewKey::named("scopeless")).await;
    let request = request().header("x-api-key", key.reveal()).body(Empty::new());
    let answer = site.http2(request.expect("a request")).await;
    answer.assert_refused(403, "scope_denied");
    assert_eq!(answer.header("grpc-status"), None);
}

#[tokio::test]
async fn refusals_speak_as_told_from_every_depth() {
    let world = World::default();
    let scoped = get(async || "reached").layer(RequireScope::new("x"));
    let required = get(async |_: Principal| "reached");
    let routes = Router::new()
        .route("/scoped", scoped)
        .route("/required", required)
        .layer(world.layer().optional().with_realm("cat\"s").with_refusals(openai_error));
    let site = world.serve(routes).await;
    let key = world.issue(NewKey::named("scopeless")).await;
    let own = format!("X-Api-Key: {}", key.reveal());
    for (path, headers, status, kind, code) in [
        ("/scoped", vec!["X-Api-Key: sk_x"], 401, "authentication_error", "invalid_key"),
        ("/scoped", vec![own.as_str()], 403, "permission_error", "scope_denied"),
        ("/required", vec![], 401, "authentication_error", "missing_key"),
    ] {
        let answer = site.get(path, &headers).await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let error = &body["error"];
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some(kind), Some(code)));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer realm=\"cats\""), "{challenge}");
    }
}

#[tokio::test]
async fn what_others_have_told_or_changed_stays_as_it_is() {
    use axum::http::StatusCode;
    use axum::middleware::map_response;
    let world = World::default();
    let admin = keyauth_testkit::authenticator(NewKey::named("admin"));
    let admin_sources = KeySources::new().header("x-admin-key");
    let inner = KeyAuthLayer::new(admin.0).with_sources(admin_sources).with_realm("admin");
    // Made another response of, by somebody who keeps the extensions.
    let hidden = map_response(async |mut response: axum::response::Response| {
        if response.status() == StatusCode::FORBIDDEN {
            *response.status_mut() = StatusCode::NOT_FOUND;
            *response.body_mut() = "nothing here".into();
            response.headers_mut().remove("content-length");
        }
        response
    });
    let scoped = get(async || "reached").layer(RequireScope::new("x")).layer(hidden);
    let routes = Router::new()
        .route("/admin", get(async || "reached").layer(inner))
        .route("/hidden", scoped)
        .layer(world.layer().with_realm("shop"));
    let site = world.serve(routes).await;
    let key = world.issue(NewKey::named("scopeless")).await;
    let own = format!("X-Api-Key: {}", key.reveal());
    let answer = site.get("/admin", &[&own]).await;
    answer.assert_refused(401, "missing_key");
    assert_eq!(answer.header("www-authenticate"), Some("ApiKey realm=\"admin\""));
    assert!(answer.body.contains("x-admin-key"), "{answer:?}");
    let answer = site.get("/hidden", &[&own]).await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "nothing here"));
    let answer = site.get("/hidden", &[]).await;
    answer.assert_refused(401, "missing_key");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"shop\""));
}

#[tokio::test]
async fn nested_layers_with_one_authenticator_ask_once() {
    let world = World::default();
    let auth = world.authenticator();
    let (inner, outer) = (KeyAuthLayer::new(auth.clone()), KeyAuthLayer::new(auth));
    // Nothing is remembered of a key until it is asked for, so each decision is one call.
    let site = world.serve(app().layer(inner).layer(outer)).await;
    let key = world.issue(NewKey::named("valid").owner("ada")).await;
    site.bearer(key.reveal()).await.assert_reached_by("ada");
    assert_eq!(world.lookups.calls(), 1);
    site.get("/", &[]).await.assert_refused(401, "missing_key");
}

#[tokio::test]
async fn no_answer_is_never_a_no() {
    let world = World::default();
    let auth = Authenticator::new(Broken::default());
    let site = world.serve_behind(KeyAuthLayer::new(auth.clone()).optional()).await;
    let key = world.issue(NewKey::named("valid")).await;
    let answer = site.bearer(key.reveal()).await;
    answer.assert_refused(503, "unavailable");
    assert!(!answer.body.contains("fire"), "causes are for the log");
    site.bearer("sk_mistyped").await.assert_refused(401, "invalid_key");
}

#[tokio::test]
async fn r3_while_all_loads_are_busy_what_is_cached_is_let_through() {
    let world = World::default();
    let options = CacheOptions::new().clock(Arc::clone(&world.clock) as _);
    let options = options.poll_interval(Duration::from_millis(10));
    // Nobody waits for a turn, and the one that has it gives up long after the test has ended.
    let options = options.loads(1).waiting_loads(0).load_deadline(Duration::MAX);
    let cache = CachedLookup::with_options(world.lookups.clone(), options);
    let auth = Authenticator::new(cache).with_clock(Arc::clone(&world.clock) as _);
    let (auth, background) = auth.start();
    world.lookups.wait_for_polls(0).await;
    let site = world.serve_behind(KeyAuthLayer::new(auth)).await;
    let cached = world.issue(NewKey::named("cached").owner("ada")).await;
    let loading = world.issue(NewKey::named("loading").owner("bob")).await;
    let cold = world.issue(NewKey::named("cold").owner("eve")).await;
    site.bearer(cached.reveal()).await.assert_reached_by("ada");
    world.lookups.hold(Side::Before);
    let meanwhile = async {
        world.lookups.wait_for_held(1).await;
        site.bearer(cold.reveal()).await.assert_refused(503, "overloaded");
        site.bearer(cached.reveal()).await.assert_reached_by("ada");
        world.lookups.release();
    };
    let (loaded, ()) = tokio::join!(site.bearer(loading.reveal()), meanwhile);
    loaded.assert_reached_by("bob");
    site.bearer(cold.reveal()).await.assert_reached_by("eve");
    background.shutdown().await;
}
