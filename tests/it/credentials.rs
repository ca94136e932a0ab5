//! Credentials, as strangers and worse send them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request};
use http_body_util::Empty;
use keyauth_core::{
    CustomKeys, Directory, Issuer, KeyStore, Keyring, MemoryStore, NewKey, Pepper, Tenant, TenantId,
};
use keyauth_tests::{Site, World};
use sha2::{Digest, Sha256};

/// A service with one key, and the key.
async fn service() -> (World, Site, String) {
    let world = World::default();
    let key = world.issue(NewKey::named("valid").owner("ada")).await;
    let site = world.serve_behind(world.layer()).await;
    (world, site, key.reveal().to_owned())
}

fn header(name: &str, value: &str) -> String {
    format!("{name}: {value}")
}

#[tokio::test]
async fn c1_nothing_presented() {
    let (world, site, _) = service().await;
    let answer = site.get("/", &[]).await;
    answer.assert_refused(401, "missing_key");
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert_eq!(challenge, "Bearer realm=\"api\"");
    assert!(answer.body.contains("Authorization: Bearer"), "it says what to do: {}", answer.body);
    assert_eq!(world.lookups.calls(), 0);
}

#[tokio::test]
async fn c2_bearer_without_a_key_or_with_odd_separators() {
    let (world, site, key) = service().await;
    for value in ["Bearer", "Bearer ", "Bearer a b", "bearer\t", "Bearer ,", "Bearer \"\""] {
        site.get("/", &[&header("Authorization", value)]).await.assert_refused(401, "invalid_key");
    }
    for separator in ["\u{a0}", "\u{2003}", "\t", ":", "\u{200b}"] {
        let value = format!("Bearer{separator}{key}");
        site.get("/", &[&header("Authorization", &value)]).await.assert_refused(401, "invalid_key");
    }
    // As ISO 8859-1 has it, a single byte; and a control character, which HTTP refuses.
    let raw = |byte: u8| {
        let head =
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer";
        [head.as_slice(), &[byte], key.as_bytes(), b"\r\n\r\n"].concat()
    };
    site.send(&raw(0xa0)).await.assert_refused(401, "invalid_key");
    assert_eq!(site.send(&raw(0x0b)).await.status, 400);
    let answer = site.get("/", &["Authorization: Basic dXNlcjpwYXNz"]).await;
    answer.assert_refused(401, "missing_key");
    assert_eq!(world.lookups.calls(), 0);
}

#[tokio::test]
async fn c3_the_scheme_is_case_insensitive() {
    let (_world, site, key) = service().await;
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let answer = site.get("/", &[&header("authorization", &format!("{scheme} {key}"))]).await;
        answer.assert_reached_by("ada");
    }
    site.get("/", &[&header("X-API-KEY", &key)]).await.assert_reached_by("ada");
}

#[tokio::test]
async fn c4_repeated_headers_and_two_sources() {
    let (world, site, key) = service().await;
    let bearer = header("Authorization", &format!("Bearer {key}"));
    let own = header("X-Api-Key", &key);
    for headers in [
        vec![bearer.as_str(), &bearer],
        vec![&own, &own],
        vec![&bearer, &own, &own],
        vec![&bearer, "Authorization: Basic x"],
        vec!["X-Api-Key: a", "X-Api-Key: b"],
    ] {
        site.get("/", &headers).await.assert_refused(400, "invalid_request");
    }
    assert_eq!(world.lookups.calls(), 0);
    let other = world.issue(NewKey::named("other").owner("grace")).await;
    let other = header("X-Api-Key", other.reveal());
    site.get("/", &[&bearer, &other]).await.assert_reached_by("ada");
    site.get("/", &[&other, &bearer]).await.assert_reached_by("ada");
    // The first that holds a key of ours counts, also where it is a wrong one.
    let mistyped = header("Authorization", "Bearer sk_mistyped");
    site.get("/", &[&mistyped, &other]).await.assert_refused(401, "invalid_key");
}

#[tokio::test]
async fn c5_keys_joined_by_commas() {
    let (world, site, key) = service().await;
    for value in
        [format!("{key},{key}"), format!("{key}, {key}"), format!(",{key}"), format!("{key},")]
    {
        site.get("/", &[&header("X-Api-Key", &value)]).await.assert_refused(401, "invalid_key");
        let answer = site.get("/", &[&header("Authorization", &format!("Bearer {value}"))]).await;
        answer.assert_refused(401, "invalid_key");
    }
    let value = format!("Bearer {key}, Bearer {key}");
    site.get("/", &[&header("Authorization", &value)]).await.assert_refused(401, "invalid_key");
    assert_eq!(world.lookups.calls(), 0);
}

#[tokio::test]
async fn c6_bytes_that_no_key_has() {
    let (world, site, key) = service().await;
    for odd in ["\u{e4}", "\u{1f511}", "sk_\u{e4}"] {
        site.get("/", &[&header("X-Api-Key", odd)]).await.assert_refused(401, "invalid_key");
    }
    let raw = |value: &[u8]| {
        let head = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Api-Key: ";
        [head, value, b"\r\n\r\n"].concat()
    };
    for invalid in
        [b"\xff\xfe".as_slice(), b"sk_\xc3\x28", &[b"sk_", key.as_bytes(), b"\xff"].concat()]
    {
        site.send(&raw(invalid)).await.assert_refused(401, "invalid_key");
    }
    for control in [b"a\0b".as_slice(), b"a\rb", b"a\nb"] {
        assert_eq!(site.send(&raw(control)).await.status, 400, "HTTP itself refuses {control:?}");
    }
    assert_eq!(world.lookups.calls(), 0);
}

#[tokio::test]
async fn c7_values_of_any_size() {
    let (world, site, key) = service().await;
    for size in [8 << 10, 64 << 10, 256 << 10] {
        let long = "x".repeat(size);
        for value in [long.clone(), format!("sk_{long}"), format!("{key}{long}")] {
            site.get("/", &[&header("X-Api-Key", &value)]).await.assert_refused(401, "invalid_key");
        }
    }
    // The server's own bound on headers comes first here.
    let answer = site.get("/", &[&header("X-Api-Key", &"x".repeat(1 << 20))]).await;
    assert_eq!(answer.status, 431);
    assert_eq!(world.lookups.calls(), 0);
}

#[tokio::test]
async fn c8_a_key_in_the_query_is_a_leak() {
    let (world, site, key) = service().await;
    let bearer = header("Authorization", &format!("Bearer {key}"));
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for query in [
        format!("api_key={key}"),
        format!("a=b&key={key}&c=d"),
        format!("key={encoded}"),
        key.clone(),
        format!("{key}=x"),
        format!("k=+{key}%20"),
        format!("k={key};a=b"),
        format!("access_token=Bearer+{key}"),
        format!("next=https%3A%2F%2Fexample.org%2F%3Fk%3D{key}"),
        format!("k=%22{key}%22,x%00"),
    ] {
        let path = format!("/?{query}");
        site.get(&path, &[]).await.assert_refused(400, "invalid_request");
        site.get(&path, &[&bearer]).await.assert_refused(400, "invalid_request");
    }
    assert_eq!(world.lookups.calls(), 0);
    // Something that merely looks like one is nobody's key.
    let answer = site.get("/?key=sk_something&a=%ff%zz", &[&bearer]).await;
    answer.assert_reached_by("ada");
}

#[tokio::test]
async fn c9_c10_what_is_almost_a_key() {
    let (world, site, key) = service().await;
    let swapped: String = key
        .chars()
        .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let mut changed = key.clone().into_bytes();
    changed[20] = if changed[20] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("ASCII");
    let digest: String = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    let almost = [
        changed,
        swapped,
        key[..key.len() - 1].to_owned(),
        format!("{key}0"),
        format!("{key}%20"),
        key.replacen("sk_", "pk_", 1),
        key.replacen("sk_", "SK_", 1),
        key.replacen("sk_", "", 1),
        key.replacen('k', "\u{43a}", 1),
        key.replacen('s', "\u{455}", 1),
        digest.to_owned(),
        format!("sk_{digest}"),
    ];
    for value in almost {
        site.bearer(&value).await.assert_refused(401, "invalid_key");
    }
    assert_eq!(world.lookups.calls(), 0);
}

#[tokio::test]
async fn c11_c12_other_headers_say_nothing() {
    let (world, site, key) = service().await;
    for name in ["X_API_Key", "X-Api-Keys", "Api-Key", "Proxy-Authorization"] {
        site.get("/", &[&header(name, &key)]).await.assert_refused(401, "missing_key");
    }
    let claims =
        ["X-User: root", "X-Consumer-Username: root", "X-Keyauth-Owner: root", "Remote-User: root"];
    site.get("/", &claims).await.assert_refused(401, "missing_key");
    let bearer = header("Authorization", &format!("Bearer {key}"));
    site.get("/", &[&claims[..], &[&bearer]].concat()).await.assert_reached_by("ada");
    assert_eq!(world.lookups.calls(), 1);
}

#[tokio::test]
async fn c13_every_method_is_authenticated() {
    let (_world, site, key) = service().await;
    let bearer = header("Authorization", &format!("Bearer {key}"));
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"] {
        site.call(method, "/", &[]).await.assert_refused(401, "missing_key");
        site.call(method, "/", &[&bearer]).await.assert_reached_by("ada");
    }
    let refused = site.call("HEAD", "/", &[]).await;
    assert_eq!((refused.status, refused.body.as_str()), (401, ""));
    assert_eq!(site.call("HEAD", "/", &[&bearer]).await.status, 200);
}

#[tokio::test]
async fn c14_c15_unknown_and_malformed_look_alike() {
    let (world, site, _) = service().await;
    let elsewhere = MemoryStore::new().issue(NewKey::named("elsewhere")).await.expect("a key");
    let unknown = site.bearer(elsewhere.reveal()).await;
    unknown.assert_refused(401, "invalid_key");
    assert_eq!(world.lookups.calls(), 1, "well-formed: one lookup");
    for malformed in ["sk_malformed", "foreign"] {
        let answer = site.bearer(malformed).await;
        let without_date = |answer: &keyauth_tests::Answer| {
            let mut answer = answer.clone();
            answer.headers.retain(|(name, _)| name != "date");
            answer
        };
        assert_eq!(without_date(&answer), without_date(&unknown));
    }
    assert_eq!(world.lookups.calls(), 1, "malformed: none");
}

#[tokio::test]
async fn c17_the_grpc_shape_is_for_grpc_alone() {
    let (_world, site, _) = service().await;
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;x"] {
        for method in ["GET", "POST"] {
            let answer = site.call(method, "/", &[&header("Content-Type", content_type)]).await;
            answer.assert_refused(401, "missing_key");
        }
        let request = |method| {
            let request = Request::builder().method(method).header("content-type", content_type);
            request.body(Empty::new()).expect("a request")
        };
        site.http2(request(Method::GET)).await.assert_refused(401, "missing_key");
        let answer = site.http2(request(Method::POST)).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("16")), "{answer:?}");
    }
}

#[tokio::test]
async fn c18_a_foreign_token_beside_a_key() {
    let (world, site, key) = service().await;
    let jwt = "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo";
    let own = header("X-Api-Key", &key);
    site.get("/", &[jwt, &own]).await.assert_reached_by("ada");
    site.get("/", &[jwt]).await.assert_refused(401, "invalid_key");

    let site = world.serve_behind(world.layer().pass_foreign_tokens()).await;
    site.get("/", &[jwt, &own]).await.assert_reached_by("ada");
    site.get("/", &[jwt]).await.assert_reached_by("nobody");
    site.get("/", &[]).await.assert_refused(401, "missing_key");
    // What is no token of anybody does not pass for a foreign one, nor does a bad key.
    for bad in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer sk_mistyped"] {
        let answer = site.get("/", &[&header("Authorization", bad)]).await;
        answer.assert_refused(401, "invalid_key");
    }
}

#[tokio::test]
async fn custom_keys_are_looked_up_where_they_are_allowed() {
    const CUSTOM: &str = "a-key_of-my-own-0123456789";
    let pepper = Pepper::new(1, [7; 32]).expect("long enough");
    let keyring = Keyring::new().with_pepper(pepper).and_then(Keyring::with_custom_keys);
    let keyring = keyring.expect("a keyring");
    let world = World::with_keyring(keyring.clone());
    let tenant = Tenant { custom_keys: CustomKeys::Allowed, ..Tenant::new(TenantId::default()) };
    world.store.put_tenant(&tenant).await.expect("a tenant");
    world.issue(NewKey::named("own").owner("ada").custom(CUSTOM)).await;
    let site = world.serve_behind(world.layer()).await;
    site.bearer(CUSTOM).await.assert_reached_by("ada");
    assert_eq!(world.lookups.calls(), 1);
    // C10: what is stored of it is a key of the right form, and not the right one: its HMAC, and
    // what would be without a pepper.
    let draft = Issuer::new().with_keyring(keyring).draft(NewKey::named("own").custom(CUSTOM));
    let stored = *draft.expect("a draft").secret.digest.as_bytes();
    let hmac: String = stored.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest: String = Sha256::digest(CUSTOM).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_ne!(hmac, digest);
    let shorter = URL_SAFE_NO_PAD.encode(stored);
    for unknown in ["somebody-elses-key-0123", &digest, &hmac, &shorter] {
        site.bearer(unknown).await.assert_refused(401, "invalid_key");
    }
    assert_eq!(world.lookups.calls(), 5, "each is looked up");
    for never in
        ["fifteen-chars-x", &"x".repeat(129), "sk_mistyped-key-0123456789", "with.dots.0123456789"]
    {
        site.bearer(never).await.assert_refused(401, "invalid_key");
    }
    assert_eq!(world.lookups.calls(), 5);
}
