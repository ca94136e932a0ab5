//! `/auth`, asked by itself and by real proxies, set up as the guide says: C17.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use keyauth_admin::ForwardAuth;
use keyauth_core::{Authenticator, IssuedKey, KeyStore, KeyUpdate, Limit, NewKey};
use keyauth_ratelimit::LocalLimiter;
use keyauth_testkit::Wire;
use keyauth_tests::{Answer, Site, World, call};
use keyauth_tower::{ClientAddress, ForwardingHeader, KeyAuthLayer};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// keyauth, a service that knows nothing of it, and keys of several kinds.
struct Yard {
    world: World,
    keyauth: Site,
    service: Site,
    good: IssuedKey,
    elsewhere: IssuedKey,
    spent: IssuedKey,
    reader: IssuedKey,
}

/// Tells what has arrived of who is calling, and of keys.
async fn arrived(request: axum::extract::Request) -> String {
    let names = ["tenant", "owner", "group", "scopes"];
    let names = names.map(|name| format!("x-keyauth-{name}"));
    let told = names.iter().map(|name| {
        let values = request.headers().get_all(name).iter();
        let values: Vec<_> = values.map(|value| value.to_str().expect("text")).collect();
        format!("{name}={}", values.join(","))
    });
    let keys =
        ["authorization", "x-api-key"].iter().filter(|name| request.headers().contains_key(**name));
    let keys: Vec<_> = keys.copied().collect();
    let odd = request.headers().keys().map(|name| name.as_str()).filter(|name| name.contains('_'));
    let odd: Vec<_> = odd.collect();
    format!("{} keys={} odd={}", told.collect::<Vec<_>>().join(" "), keys.join(","), odd.join(","))
}

impl Yard {
    async fn new() -> Self {
        let world = World::default();
        let issue = async |new: NewKey| world.issue(new).await;
        let good = issue(NewKey::named("good").owner("ada").scope("reports:read")).await;
        let elsewhere = issue(NewKey::named("elsewhere").allow_address("192.0.2.0/24")).await;
        let spent = issue(NewKey::named("spent").limit(Limit::per_hour(0))).await;
        let reader = issue(NewKey::named("reader").owner("bob").endpoint("GET /reports/*")).await;
        let auth = Authenticator::new(world.lookups.clone()).with_limiter(LocalLimiter::new());
        let address = ClientAddress::behind(ForwardingHeader::XForwardedFor, ["127.0.0.0/8"]);
        let layer = KeyAuthLayer::new(auth).with_client_address(address.expect("networks"));
        let keyauth = world.serve(ForwardAuth::new(layer).into_router()).await;
        let service = world.serve(Router::new().fallback(any(arrived))).await;
        Self { world, keyauth, service, good, elsewhere, spent, reader }
    }

    fn bearer(key: &IssuedKey) -> String {
        format!("Authorization: Bearer {}", key.reveal())
    }
}

#[tokio::test]
async fn c17_no_answer_to_a_proxy_is_a_yes_in_disguise() {
    let yard = Yard::new().await;
    for method in ["GET", "POST"] {
        for path in ["/auth", "/auth/", "/auth/package.Service/Method"] {
            for kind in ["application/grpc", "application/grpc+proto", "application/json"] {
                let kind = format!("Content-Type: {kind}");
                let answer = yard.keyauth.call(method, path, &[&kind]).await;
                answer.assert_refused(401, "missing_key");
            }
        }
    }
    let request =
        http::Request::post("/auth/package.Service/Method").version(http::Version::HTTP_2);
    let request =
        request.header("content-type", "application/grpc").body(http_body_util::Empty::new());
    yard.keyauth.http2(request.expect("a request")).await.assert_refused(401, "missing_key");
}

#[tokio::test]
async fn who_is_calling_is_told_whole() {
    let yard = Yard::new().await;
    let answer = yard.keyauth.get("/auth", &[&Yard::bearer(&yard.good)]).await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("x-keyauth-tenant", "default"),
        ("x-keyauth-owner", "ada"),
        ("x-keyauth-group", ""),
        ("x-keyauth-scopes", "reports:read"),
    ] {
        let values: Vec<_> = answer.headers.iter().filter(|(have, _)| have == name).collect();
        assert_eq!(values, [&(name.to_owned(), value.to_owned())]);
    }
    let answer = yard.keyauth.get("/auth", &[&Yard::bearer(&yard.elsewhere)]).await;
    answer.assert_refused(403, "address_denied");
    assert_eq!(answer.header("x-keyauth-code"), Some("address_denied"));
    let there = [&*Yard::bearer(&yard.elsewhere), "X-Forwarded-For: 192.0.2.7"];
    assert_eq!(yard.keyauth.get("/auth", &there).await.status, 200);
}

#[tokio::test]
async fn the_request_of_the_client_is_what_counts() {
    let yard = Yard::new().await;
    let reader = Yard::bearer(&yard.reader);
    let ask = async |path: &str, method: &str, uri: &str| {
        let forwarded = [
            &*reader,
            &*format!("X-Forwarded-Method: {method}"),
            &*format!("X-Forwarded-Uri: {uri}"),
        ];
        yard.keyauth.get(path, &forwarded).await
    };
    assert_eq!(ask("/auth", "GET", "/reports/7?a=b").await.status, 200);
    ask("/auth", "POST", "/reports/7").await.assert_refused(403, "endpoint_denied");
    ask("/auth", "GET", "/admin").await.assert_refused(403, "endpoint_denied");
    ask("/auth", "GET", "/reports/../admin").await.assert_refused(400, "invalid_request");
    let leaked = format!("/reports/7?key={}", yard.good.reveal());
    ask("/auth", "GET", &leaked).await.assert_refused(400, "invalid_request");
    ask("/auth", "G T", "/reports/7").await.assert_refused(400, "invalid_request");
    // What the client asks for is not asked of us, or it could say what it costs.
    ask("/auth?cost=0", "GET", "/reports/7?cost=0").await.assert_refused(400, "invalid_request");
    // Nobody has said what is called, or half of it.
    yard.keyauth.get("/auth", &[&reader]).await.assert_refused(403, "endpoint_denied");
    let half = [&*reader, "X-Forwarded-Uri: /reports/7"];
    yard.keyauth.get("/auth", &half).await.assert_refused(403, "endpoint_denied");
    let twice = [&*reader, "X-Forwarded-Uri: /reports/7", "X-Forwarded-Uri: /admin"];
    yard.keyauth.get("/auth", &twice).await.assert_refused(400, "invalid_request");
    // Behind a prefix the path is the request's own, and headers are the client's.
    assert_eq!(yard.keyauth.get("/auth/reports/7", &[&reader]).await.status, 200);
    ask("/auth/admin", "GET", "/reports/7").await.assert_refused(403, "endpoint_denied");
    let post = yard.keyauth.call("POST", "/auth/reports/7", &[&reader]).await;
    post.assert_refused(403, "endpoint_denied");
    ask("/auth/", "GET", "/reports/7").await.assert_refused(403, "endpoint_denied");
    let odd = yard.keyauth.get("/auth/reports/%2e%2e/admin", &[&reader]).await;
    odd.assert_refused(400, "invalid_request");
}

#[tokio::test]
async fn proxies_ask_for_scopes_and_clients_do_not() {
    let yard = Yard::new().await;
    let good = Yard::bearer(&yard.good);
    assert_eq!(yard.keyauth.get("/auth?scope=reports:read", &[&good]).await.status, 200);
    let more = yard.keyauth.get("/auth?scope=reports:read%20reports:write", &[&good]).await;
    more.assert_refused(403, "scope_denied");
    assert!(
        more.header("www-authenticate")
            .is_some_and(|challenge| challenge.contains("reports:write"))
    );
    yard.world
        .store
        .update(&yard.good, KeyUpdate::new().resources(["small*"]))
        .await
        .expect("changed");
    assert_eq!(yard.keyauth.get("/auth?resource=small-1", &[&good]).await.status, 200);
    let large = yard.keyauth.get("/auth?resource=large", &[&good]).await;
    large.assert_refused(403, "resource_denied");
    // Slips of whoever has written the proxy's configuration show.
    for query in ["scop=a", "scope=a&scope=b", "cost=much", "scope=%22"] {
        let slip = yard.keyauth.get(&format!("/auth?{query}"), &[&good]).await;
        slip.assert_refused(400, "invalid_request");
    }
    assert_eq!(yard.keyauth.get("/auth/x?scope=reports:write&cost=0", &[&good]).await.status, 200);
}

/// Whom the layer lets through without a key has no scopes.
#[tokio::test]
async fn strangers_have_no_scopes() {
    let world = World::default();
    let layer = world.layer().optional().pass_foreign_tokens();
    let keyauth = world.serve(ForwardAuth::new(layer).into_router()).await;
    let nobody = keyauth.get("/auth", &[]).await;
    assert_eq!((nobody.status, nobody.header("x-keyauth-owner")), (200, Some("")));
    for headers in [&[][..], &["Authorization: Bearer a-token-of-others"]] {
        for query in ["scope=admin", "resource=small"] {
            let refused = keyauth.get(&format!("/auth?{query}"), headers).await;
            refused.assert_refused(401, "missing_key");
        }
    }
}

/// A proxy that runs, and its folder.
struct Proxy {
    _child: Child,
    _folder: TempDir,
    address: SocketAddr,
}

/// Starts a proxy as a guide says, but for the ports; nothing where it is not installed.
async fn start(yard: &Yard, program: &str, guide: &str, arguments: &[&str]) -> Option<Proxy> {
    if Command::new(program)
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .is_err()
    {
        eprintln!("{program} is not installed: what the guide says of it is not tried");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let guide = guide
        .replace("127.0.0.1:8080", &yard.keyauth.address().to_string())
        .replace("127.0.0.1:9000", &yard.service.address().to_string())
        .replace(":8000", &format!(":{}", address.port()));
    let file = folder.path().join("proxy.conf");
    std::fs::write(&file, guide).expect("written");
    let file = file.to_str().expect("text");
    let place = folder.path().to_str().expect("text");
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| argument.replace("{file}", file).replace("{folder}", place))
        .collect();
    let child = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .env("HOME", place)
        .spawn()
        .expect("it starts");
    for _ in 0..200 {
        if TcpStream::connect(address).await.is_ok() {
            return Some(Proxy { _child: child, _folder: folder, address });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{program} does not listen");
}

impl Proxy {
    async fn get(&self, path: &str, headers: &[&str]) -> Answer {
        call(&self.address.to_string(), "GET", path, headers).await
    }

    /// What holds through every proxy.
    async fn check(&self, yard: &Yard) {
        let good = Yard::bearer(&yard.good);
        let lies =
            ["X-Keyauth-Owner: root", "X-Keyauth-Group: root", "x-keyauth-scopes: everything"];
        let answer = self.get("/reports", &[&*good, lies[0], lies[1], lies[2]]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = "x-keyauth-tenant=default x-keyauth-owner=ada x-keyauth-group= \
                        x-keyauth-scopes=reports:read keys=";
        assert!(answer.body.contains(expected), "{answer:?}");
        // Nor by other spellings, nor by having them taken away.
        for lie in ["X_Keyauth_Owner: root", "X-Keyauth_Scopes: all", "X_Keyauth-Group: root"] {
            let answer = self.get("/reports", &[&*good, lie]).await;
            assert!(answer.body.contains(expected) && answer.body.ends_with("odd="), "{answer:?}");
        }
        let hop = "Connection: close, X-Keyauth-Owner, X-Keyauth-Scopes";
        let answer = self.get("/reports", &[&*good, hop]).await;
        assert!(answer.status == 400 || answer.body.contains(expected), "{answer:?}");
        for method in ["GET", "POST"] {
            let kind = "Content-Type: application/grpc";
            let stranger = call(&self.address.to_string(), method, "/reports", &[kind]).await;
            assert_eq!(stranger.status, 401, "{stranger:?}");
            let challenges = stranger.headers.iter().filter(|(name, _)| name == "www-authenticate");
            assert_eq!(challenges.count(), 1, "{stranger:?}");
        }
        for (key, status, code) in
            [(&yard.elsewhere, 403, "address_denied"), (&yard.spent, 429, "rate_limited")]
        {
            let answer = self.get("/reports", &[&Yard::bearer(key)]).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
            assert_eq!(answer.header("retry-after").is_some(), status == 429, "{answer:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let reader = Yard::bearer(&yard.reader);
        let read = self.get("/reports/7?a=b", &[&reader]).await;
        assert_eq!(read.status, 200, "{read:?}");
        assert_eq!(self.get("/admin", &[&reader]).await.status, 403);
        let lie = "X-Forwarded-Uri: /reports/7";
        assert_eq!(self.get("/admin", &[&*reader, lie]).await.status, 403);
        let post = call(&self.address.to_string(), "POST", "/reports/7", &[&reader]).await;
        assert_eq!(post.status, 403, "{post:?}");
        let ambiguous = self.get("/reports/%2e%2e/admin", &[&reader]).await;
        assert_eq!(ambiguous.status, 400, "{ambiguous:?}");
        // No answer is 503, and lets nobody in.
        yard.world.issue(NewKey::named("makes the store forget what it has at hand")).await;
        yard.world.lookups.set_wire(Wire::Cut);
        let unanswered = self.get("/reports", &[&good]).await;
        assert_eq!((unanswered.status, unanswered.code().as_str()), (503, "unavailable"));
        yard.world.search(&unanswered);
    }
}

#[tokio::test]
async fn c17_nginx_carries_everything_through() {
    let yard = Yard::new().await;
    let guide = include_str!("../../docs/proxies/nginx.conf");
    let guide = format!(
        "daemon off; master_process off; error_log stderr crit; pid nginx.pid; \
         events {{}} http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy; \
         fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n{guide}}}"
    );
    let arguments = ["-p", "{folder}", "-e", "stderr", "-c", "{file}"];
    if let Some(nginx) = start(&yard, "nginx", &guide, &arguments).await {
        nginx.check(&yard).await;
    }
}

#[tokio::test]
async fn caddy_carries_everything_through() {
    let yard = Yard::new().await;
    let guide = include_str!("../../docs/proxies/Caddyfile");
    let arguments = ["run", "--adapter", "caddyfile", "--config", "{file}"];
    if let Some(caddy) = start(&yard, "caddy", guide, &arguments).await {
        caddy.check(&yard).await;
    }
}
