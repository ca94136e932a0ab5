//! What the fuzz targets of `tests/fuzz` check, for any bytes at all.
//!
//! Functions here, so that the same checks run on the corpus and under proptest without a
//! fuzzer. Each panics where a property does not hold.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use keyauth_core::{Authenticator, IssuedKey, Issuer, KeyPrefix, Keyring, NewKey, Parsed};
use keyauth_testkit::at_once;
use keyauth_tower::{
    ClientAddress, ForwardingHeader, KeyAuthLayer, PeerAddress, Principal, RequestHead,
};

/// A key is recognised where its checksum is right, and nowhere else, whatever the bytes.
///
/// # Panics
///
/// Where it is not.
pub fn key(bytes: &[u8]) {
    static OURS: LazyLock<(Keyring, IssuedKey)> = LazyLock::new(|| {
        let keyring = Keyring::new().with_prefix(KeyPrefix::new("sk_live").expect("a prefix"));
        let issuer = Issuer::new().with_keyring(keyring.clone());
        let draft = issuer.draft(NewKey::named("fuzzed")).expect("a key");
        (keyring, draft.into_issued())
    });
    let (keyring, ours) = &*OURS;
    let text = with_key(bytes, ours);
    let prefixed = text.starts_with(b"sk_live_");
    // Nobody finds a right checksum by chance: what has one is the key that was issued.
    let genuine = text == ours.reveal().as_bytes();
    match keyring.parse(&text) {
        Parsed::Key(_) => assert!(genuine, "{:?}", String::from_utf8_lossy(&text)),
        Parsed::Malformed => assert!(prefixed && !genuine),
        Parsed::Foreign => assert!(!prefixed),
        other => panic!("{other:?}"),
    }
    assert_eq!(keyring.recognises(&text), genuine);
    // Wherever it stands in a text, it is found, and nothing else is taken for it.
    let key = ours.reveal().as_bytes();
    assert_eq!(keyring.finds_in(&text), text.windows(key.len()).any(|part| part == key));
}

/// The bytes with the key in place of each `@`, since corpora cannot know it.
fn with_key(bytes: &[u8], key: &IssuedKey) -> Vec<u8> {
    let expand = |&byte: &u8| match byte {
        b'@' => key.reveal().as_bytes().to_vec(),
        other => vec![other],
    };
    bytes.iter().flat_map(expand).collect()
}

/// `Authorization` with any value admits the one key there is, and only as it should be
/// written.
///
/// # Panics
///
/// Where it does not.
pub fn authorization(bytes: &[u8]) {
    static SERVICE: LazyLock<(Authenticator, IssuedKey)> =
        LazyLock::new(|| keyauth_testkit::authenticator(NewKey::named("fuzzed")));
    let (auth, key) = &*SERVICE;
    let value = with_key(bytes, key);
    let Ok(header) = HeaderValue::from_bytes(&value) else { return };
    let mut request = Request::new(());
    request.headers_mut().insert("authorization", header);
    let status = answer(auth, request).status();
    let text = String::from_utf8_lossy(&value);
    let rightly = text.split_once(' ').is_some_and(|(scheme, rest)| {
        scheme.eq_ignore_ascii_case("bearer") && rest.trim_start_matches(' ') == key.reveal()
    });
    let expected = if rightly { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    assert_eq!(status, expected, "{text:?}");
}

/// Whatever a client writes into `Forwarded` or `X-Forwarded-For`, the line that the proxy
/// adds names the client.
///
/// # Panics
///
/// Where the client's own lines count.
pub fn forwarded(bytes: &[u8]) {
    const CLIENT: &str = "198.51.100.7";
    let Ok(forged) = HeaderValue::from_bytes(bytes) else { return };
    for (header, name, added) in [
        (ForwardingHeader::Forwarded, "forwarded", format!("for={CLIENT}")),
        (ForwardingHeader::XForwardedFor, "x-forwarded-for", CLIENT.to_owned()),
    ] {
        // On the client's own line the worst it may do is to become unknown.
        let line = [bytes, b", ", added.as_bytes()].concat();
        let joined = HeaderValue::from_bytes(&line).expect("as good as the client's");
        let address = ClientAddress::behind(header, ["10.0.0.0/8", "::1"]).expect("networks");
        let mut request = Request::new(());
        request.headers_mut().append(name, joined);
        request.extensions_mut().insert(PeerAddress(([10, 0, 0, 1], 1).into()));
        let found = address.find(&RequestHead::of(&request));
        assert!(found.is_none_or(|found| found.to_string() == CLIENT), "{forged:?} gave {found:?}");
        request.headers_mut().remove(name);
        request.headers_mut().append(name, forged.clone());
        request.extensions_mut().insert(PeerAddress(([10, 0, 0, 1], 1).into()));
        request.headers_mut().append(name, added.parse().expect("a value"));
        let found = address.find(&RequestHead::of(&request));
        assert_eq!(found, CLIENT.parse::<IpAddr>().ok());
        request.extensions_mut().insert(PeerAddress(([203, 0, 113, 9], 1).into()));
        let found = address.find(&RequestHead::of(&request));
        assert_eq!(found, Some([203, 0, 113, 9].into()));
    }
}

fn answer(auth: &Authenticator, request: Request<()>) -> Response<()> {
    use tower_layer::Layer;
    use tower_service::Service;
    let mut service = KeyAuthLayer::new(auth.clone()).layer(Open);
    let Ok(response) = at_once(service.call(request));
    response.map(drop)
}

/// A service that only the layer's callers reach.
#[derive(Clone)]
struct Open;

impl tower_service::Service<Request<()>> for Open {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(request.extensions().get::<Principal>().is_some(), "reached without a key");
        std::future::ready(Ok(Response::default()))
    }
}
