//! No public type shows a secret in `Debug`, and none that holds one can be serialised.

use std::fmt::{Debug, Display};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use keyauth_core::{
    Authenticator, Draft, IssuedKey, Issuer, KeyStore, Keyring, MemoryStore, NewKey, Parsed,
    Pepper, PlaintextKey, PresentedKey, RequestFacts, Rotation,
};
use keyauth_sqlite::SqliteStore;
use keyauth_tower::{Credential, KeyAuthLayer, KeySources, RequestHead};
use static_assertions::assert_not_impl_any;
use tower_layer::Layer;

assert_not_impl_any!(PlaintextKey: Display, serde::Serialize, Clone);
assert_not_impl_any!(IssuedKey: Display, serde::Serialize, Clone);
assert_not_impl_any!(Draft: Display, serde::Serialize, Clone);
assert_not_impl_any!(NewKey: Display, serde::Serialize, Clone);
assert_not_impl_any!(Rotation: Display, serde::Serialize, Clone);
assert_not_impl_any!(PresentedKey<'static>: Display, serde::Serialize);
assert_not_impl_any!(Credential<'static>: Display, serde::Serialize);
assert_not_impl_any!(Pepper: Display, serde::Serialize);
assert_not_impl_any!(Keyring: Display, serde::Serialize);

const CUSTOM: &str = "unmistakable-custom-key-of-somebody";
const PEPPER: &[u8] = b"unmistakable pepper, 32 bytes and more";

#[tokio::test]
async fn debug_is_free_of_secrets() {
    let pepper = Pepper::new(1, PEPPER).expect("long enough");
    let keyring = Keyring::new().with_pepper(pepper.clone()).and_then(Keyring::with_custom_keys);
    let keyring = keyring.expect("a keyring");
    let issuer = Issuer::new().with_keyring(keyring.clone());
    let store = MemoryStore::with_issuer(issuer.clone());
    let custom = store.issue(NewKey::named("own").custom(CUSTOM)).await;
    let key = store.issue(NewKey::named("shown")).await.expect("a key");
    let text = key.reveal().to_owned();
    let draft = issuer.draft(NewKey::named("drafted")).expect("a draft");
    let draft_shown = format!("{draft:?} {:?}", draft.secret);
    let drafted = draft.into_issued();
    let Parsed::Key(presented) = keyring.parse(text.as_bytes()) else { panic!("our own key") };
    let auth = Authenticator::new(store.clone());
    let found = auth.find(presented).await.expect("an answer").expect("found");
    let admission = auth.verify(&text, &RequestFacts::new()).await.expect("an answer");
    let layer = KeyAuthLayer::new(auth.clone());
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = SqliteStore::open(folder.path().join("keys.db")).await.expect("a new file");

    let shown: Vec<Box<dyn Debug>> = vec![
        Box::new(pepper),
        Box::new(NewKey::named("own").custom(CUSTOM)),
        Box::new(Rotation::immediate().custom(CUSTOM)),
        Box::new(issuer),
        Box::new(store),
        Box::new(sqlite),
        Box::new(auth),
        Box::new(found),
        Box::new(admission.expect("admitted")),
        Box::new(layer.layer(())),
        Box::new(layer),
        Box::new(custom.expect_err("the tenant does not allow it")),
        Box::new(KeySources::new().header("x-own")),
        Box::new(KeySources::default()),
        Box::new(Credential::Found(text.clone().into_bytes().into())),
    ];
    let mut shown: Vec<_> = shown.iter().map(|value| format!("{value:?} {value:#?}")).collect();
    shown.push(draft_shown);
    shown.push(format!("{key:?} {presented:?} {:?} {keyring:?}", keyring.parse(text.as_bytes())));
    for shown in shown {
        for secret in [&text[3..], &drafted.reveal()[3..], CUSTOM, "unmistakable"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        // Nor as a list of bytes.
        let bytes = |secret: &[u8]| format!("{}, {}, {}", secret[0], secret[1], secret[2]);
        assert!(!shown.contains(&bytes(&text.as_bytes()[3..])), "{shown}");
        assert!(!shown.contains(&bytes(PEPPER)), "{shown}");
    }
}

#[tokio::test]
async fn requests_behind_the_layer_show_no_credential() {
    use tower::ServiceExt;
    let (auth, key) = keyauth_testkit::authenticator(NewKey::named("valid"));
    let sources = KeySources::new().bearer().cookie("session").header("x-api-key");
    let echo = tower::service_fn(async |request: Request<String>| {
        type Body = Full<Bytes>;
        let head = RequestHead::of(&request);
        Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(format!(
            "{head:?} {request:?}"
        ))))
    });
    let layer = KeyAuthLayer::new(auth).with_sources(sources);
    let service = layer.skip(|head| head.headers.contains_key("x-skip")).layer(echo);
    let text = key.reveal();
    let bearer = format!("Bearer {text}");
    let cookie = format!("session={text}");
    for headers in [
        vec![("authorization", bearer.as_str())],
        vec![("x-api-key", text)],
        vec![("cookie", "a=b"), ("cookie", cookie.as_str())],
        vec![("x-skip", "yes"), ("x-api-key", "a-jwt"), ("x-api-key", text)],
        vec![("authorization", "Bearer a-jwt-of-somebody"), ("x-api-key", text)],
    ] {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(String::new()).expect("a request");
        let response = service.clone().oneshot(request).await.expect("a response");
        assert_eq!(response.status(), 200);
        let shown = response.into_body().collect().await.expect("a body").to_bytes();
        let shown = String::from_utf8_lossy(&shown);
        assert!(!shown.contains(&text[3..]) && !shown.contains("a-jwt"), "{shown}");
    }
}
