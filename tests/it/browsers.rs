//! The orders of layers that `docs/browsers.md` gives for pages: CORS outside, and gRPC-web.

use axum::Router;
use axum::routing::get;
use http::{HeaderName, HeaderValue, Method, Request, Version, header};
use keyauth_core::NewKey;
use keyauth_tests::{Answer, World, call};
use keyauth_tower::KeyAuthLayer;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_web::GrpcWebLayer;
use tower::util::MapRequestLayer;
use tower_http::cors::CorsLayer;

const ORIGIN: &str = "https://app.example.com";
const PATH: &str = "/grpc.health.v1.Health/Check";

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin([HeaderValue::from_static(ORIGIN)])
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER, HeaderName::from_static("grpc-status")])
}

#[tokio::test]
async fn a_page_may_ask_and_sees_why_not() {
    let world = World::default();
    let key = world.issue(NewKey::named("page")).await;
    let app = Router::new().route("/", get(|| async { "served" }));
    let site = world.serve(app.layer(world.layer()).layer(cors())).await;
    let origin = format!("Origin: {ORIGIN}");
    let preflight = [
        origin.as_str(),
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: authorization",
    ];
    let asked = site.call("OPTIONS", "/", &preflight).await;
    assert_eq!(asked.status, 200, "a preflight request has no key");
    assert_eq!(asked.header("access-control-allow-origin"), Some(ORIGIN));
    let bearer = format!("Authorization: Bearer {}", key.reveal());
    let served = site.call("GET", "/", &[&origin, &bearer]).await;
    assert_eq!((served.status, served.body.as_str()), (200, "served"));
    let refused = site.call("GET", "/", &[&origin]).await;
    refused.assert_refused(401, "missing_key");
    assert_eq!(refused.header("access-control-allow-origin"), Some(ORIGIN));

    // The other way round nothing but a network error would be seen.
    let app = Router::new().route("/", get(|| async { "served" }));
    let wrong = world.serve(app.layer(cors()).layer(world.layer())).await;
    let asked = wrong.call("OPTIONS", "/", &preflight).await;
    assert_eq!(asked.status, 401);
    assert_eq!(asked.header("access-control-allow-origin"), None);
}

/// What comes through `GrpcWebLayer` is gRPC, whatever it came over.
fn as_grpc(mut request: Request<Body>) -> Request<Body> {
    *request.version_mut() = Version::HTTP_2;
    request
}

/// Serves tonic's own health service to browsers, and says where.
async fn serve_to_browsers(layer: KeyAuthLayer) -> String {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let serving = Server::builder()
        .accept_http1(true)
        .layer(cors())
        .layer(GrpcWebLayer::new())
        .layer(MapRequestLayer::new(as_grpc))
        .layer(layer)
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(serving);
    address
}

#[tokio::test]
async fn grpc_web_is_refused_in_its_own_shape() {
    let world = World::default();
    let key = world.issue(NewKey::named("page")).await;
    let address = serve_to_browsers(world.layer()).await;
    let origin = format!("Origin: {ORIGIN}");
    let preflight = [origin.as_str(), "Access-Control-Request-Method: POST"];
    assert_eq!(call(&address, "OPTIONS", PATH, &preflight).await.status, 200);

    let asked = |headers: Vec<String>| {
        let address = address.clone();
        async move {
            let headers: Vec<_> = headers.iter().map(String::as_str).collect();
            call(&address, "POST", PATH, &headers).await
        }
    };
    let content = "Content-Type: application/grpc-web+proto".to_owned();
    let refused: Answer = asked(vec![origin.clone(), content.clone()]).await;
    assert_eq!((refused.status, refused.header("grpc-status")), (200, Some("16")), "{refused:?}");
    assert_eq!(refused.header("content-type"), Some("application/grpc-web+proto"));
    assert_eq!(refused.header("access-control-allow-origin"), Some(ORIGIN));
    let exposed = refused.header("access-control-expose-headers").unwrap_or_default();
    assert!(exposed.contains("grpc-status"), "{refused:?}");
    // A key gets as far as the service, which misses the message.
    let bearer = format!("Authorization: Bearer {}", key.reveal());
    let admitted = asked(vec![origin, content, bearer]).await;
    assert_eq!(admitted.status, 200);
    assert_ne!(admitted.header("grpc-status"), Some("16"), "{admitted:?}");
    world.search(&admitted);
}
