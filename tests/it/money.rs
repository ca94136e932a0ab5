//! What calls are charged, over HTTP: reserved before, settled when the response has ended.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use keyauth_core::{
    Amount, Background, Budget, BudgetState, BudgetWindow, ChargeHold, IssuedKey, KeyRef, KeyStore,
    KeyUpdate, Ledger, LimitedSubject, MemoryLedger, NewKey, TenantId,
};
use keyauth_metering::LedgerMeter;
use keyauth_tests::{Site, World};
use keyauth_tower::{Charge, KeyAuthLayer, Refusal, RequireScope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

fn units(units: i64) -> Amount {
    Amount::from_units(units).expect("an amount")
}

/// A service that charges, what it asks, and the key of somebody with ten to spend.
struct Shop {
    world: World,
    ledger: MemoryLedger,
    key: IssuedKey,
    site: Site,
    /// What a handler holds beyond its answer.
    held: mpsc::UnboundedReceiver<ChargeHold>,
    _background: Background,
}

impl Shop {
    async fn open() -> Self {
        let world = World::default();
        let ledger = MemoryLedger::new();
        let meter = LedgerMeter::new(ledger.clone());
        let (auth, background) = world.authenticator().with_meter(meter).start();
        let (hold, held) = mpsc::unbounded_channel();
        let hold = move |charge: Charge| async move {
            hold.send(charge.hold()).expect("somebody keeps it");
            "on my own"
        };
        let layer = KeyAuthLayer::new(auth).with_price(|head| match head.original_path() {
            path if path.starts_with("/priced") => units(3),
            _ => Amount::ZERO,
        });
        let app = Router::new()
            .route("/priced", any(|| async { "three" }))
            .route("/priced/empty", any(|| async { StatusCode::NO_CONTENT }))
            .route("/priced/missing", any(|| async { StatusCode::NOT_FOUND }))
            .route("/priced/error", any(|| async { StatusCode::BAD_GATEWAY }))
            .route("/priced/less", any(less))
            .route("/priced/never", any(std::future::pending::<()>))
            .route("/priced/panic", any(panics))
            .route("/priced/hold", any(hold))
            .route("/priced/closed", get(|| async {}).layer(RequireScope::new("nobody:has")))
            .route("/stream", post(stream))
            .route("/nearly", post(nearly))
            .fallback(any(|| async { "for nothing" }));
        let site = world.serve(app.layer(layer)).await;
        let ten = Budget::new(units(10), BudgetWindow::Hours(2));
        let key = world.issue(NewKey::named("any").budget(ten)).await;
        Self { world, ledger, key, site, held, _background: background }
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.key.reveal())
    }

    async fn get(&self, path: &str) -> keyauth_tests::Answer {
        self.site.get(path, &[&self.bearer()]).await
    }

    /// Sends a request, and does not read the answer.
    async fn begin(&self, method: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.site.address()).await.expect("a connection");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", self.bearer());
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    }

    async fn state(&self) -> BudgetState {
        let subject = LimitedSubject::Key(TenantId::default(), self.key.id());
        let budget = Budget::new(units(10), BudgetWindow::Hours(2));
        let budget = keyauth_core::ChargedBudget { subject, budget };
        let states = self.ledger.states(std::slice::from_ref(&budget)).await;
        *states.expect("an answer").first().expect("one")
    }

    /// Waits until so much is used and reserved, and begins anew then.
    async fn check(&self, used: i64, reserved: i64) {
        let mut state = self.state().await;
        let settled = async {
            while (state.used, state.reserved) != (units(used), units(reserved)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                state = self.state().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, settled).await.is_ok();
        assert!(in_time, "{state:?}, not {used} used and {reserved} reserved");
    }
}

async fn less(charge: Charge) -> &'static str {
    charge.set(units(1));
    "one"
}

async fn panics() -> StatusCode {
    let nobody: Option<StatusCode> = std::env::var_os("KEYAUTH_NOBODY").map(|_| StatusCode::OK);
    nobody.expect("on purpose")
}

/// Makes up to eight pieces for one each, until nobody takes them.
async fn stream(charge: Charge) -> Result<Response, Refusal> {
    charge.reserve(units(8)).await?;
    let (sender, pieces) = mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        for _ in 0..8 {
            // As large as it takes to fill what lies in between.
            let piece = Bytes::from_static(&[7; 4_194_304]);
            if sender.send(piece).await.is_err() {
                return;
            }
            charge.add(units(1));
        }
    });
    Ok(Body::new(Pieces(pieces)).into_response())
}

/// Makes eight pieces for one each, and keeps the last byte back for as long as somebody waits.
async fn nearly(charge: Charge) -> Result<Response, Refusal> {
    charge.reserve(units(8)).await?;
    let (sender, pieces) = mpsc::channel::<Bytes>(8);
    tokio::spawn(async move {
        for made in 1..=8 {
            charge.add(units(1));
            let piece = Bytes::from_static(&[7; 1_000]);
            let piece = if made == 8 { piece.slice(1..) } else { piece };
            sender.send(piece).await.expect("somebody reads");
        }
        sender.closed().await;
    });
    Ok(Body::new(Pieces(pieces)).into_response())
}

struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

#[tokio::test]
async fn an_answer_costs_its_price_however_it_ends() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.get("/").await.status, 200);
    shop.check(0, 0).await;
    for (path, status, used) in [
        ("/priced", 200, 3),
        ("/priced/empty", 204, 6),
        // What failed, or was refused further in, costs nothing.
        ("/priced/error", 502, 6),
        ("/priced/closed", 403, 6),
        // The service may know better.
        ("/priced/less", 200, 7),
        ("/priced/missing", 404, 10),
    ] {
        assert_eq!(shop.get(path).await.status, status, "{path}");
        shop.check(used, 0).await;
    }
    // M2, M7: used up, it is refused where it would cost, and goes on elsewhere.
    let refused = shop.get("/priced").await;
    refused.assert_refused(429, "budget_exhausted");
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((7_000..=7_200).contains(&wait), "{wait}");
    assert_eq!(shop.get("/").await.status, 200);
    shop.check(10, 0).await;
    // Raised, it works at once.
    let raised = Budget::new(units(13), BudgetWindow::Hours(2));
    let update = KeyUpdate::new().budgets([raised]);
    shop.world.store.update(KeyRef::from(&shop.key), update).await.expect("raised");
    assert_eq!(shop.get("/priced/hold").await.status, 200);
    shop.check(10, 3).await;
    drop(shop.held.recv().await.expect("it is held"));
    shop.check(13, 0).await;
}

#[tokio::test]
async fn who_goes_away_before_an_answer_costs_nothing() {
    let shop = Shop::open().await;
    let client = shop.begin("GET", "/priced/never").await;
    shop.check(0, 3).await;
    drop(client);
    shop.check(0, 0).await;
    let mut client = shop.begin("GET", "/priced/panic").await;
    let mut nothing = Vec::new();
    client.read_to_end(&mut nothing).await.expect("the end");
    shop.check(0, 0).await;
    let head = shop.site.call("HEAD", "/priced", &[&shop.bearer()]).await;
    assert_eq!(head.status, 200);
    shop.check(3, 0).await;
}

/// M13: what was made is paid, and the rest given back.
#[tokio::test]
async fn who_hangs_up_pays_for_what_was_made() {
    let shop = Shop::open().await;
    let mut client = shop.begin("POST", "/stream").await;
    let mut some = vec![0; 4_194_304 * 2];
    client.read_exact(&mut some).await.expect("the first pieces");
    shop.check(0, 8).await;
    drop(client);
    let over = async {
        while shop.state().await.reserved != Amount::ZERO {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, over).await.expect("it is settled");
    let used = shop.state().await.used;
    assert!(used >= units(1) && used < units(8), "{used}");
    // And all of it where all of it is taken.
    let left = units(10).saturating_sub(used);
    if left >= units(8) {
        let whole = shop.site.call("POST", "/stream", &[&shop.bearer()]).await;
        assert_eq!(whole.status, 200);
    } else {
        let refused = shop.site.call("POST", "/stream", &[&shop.bearer()]).await;
        refused.assert_refused(429, "budget_exhausted");
    }
}

/// M13: all of it, where all but the last byte of it was taken.
#[tokio::test]
async fn who_hangs_up_before_the_last_byte_pays_for_all() {
    let shop = Shop::open().await;
    let mut client = shop.begin("POST", "/nearly").await;
    let (mut taken, mut some) = (0, vec![0; 4_096]);
    while taken < 7_999 {
        let read = client.read(&mut some).await.expect("more of it");
        assert_ne!(read, 0, "it goes on");
        // What lies around the body has none of these.
        taken += some.iter().take(read).filter(|byte| **byte == 7).count();
    }
    shop.check(0, 8).await;
    drop(client);
    shop.check(8, 0).await;
}

/// M14: nothing that a client sends names its charge, or is one.
#[tokio::test]
async fn what_a_client_sends_is_no_charge_id() {
    let shop = Shop::open().await;
    for used in [3, 6, 9] {
        let headers =
            [&shop.bearer(), "Idempotency-Key: same", "X-Request-Id: same", "X-Charge-Id: same"];
        assert_eq!(shop.site.get("/priced", &headers).await.status, 200);
        shop.check(used, 0).await;
    }
    shop.get("/priced").await.assert_refused(429, "budget_exhausted");
}

/// In gRPC it is RESOURCE_EXHAUSTED.
#[tokio::test]
async fn a_call_of_grpc_is_refused_in_its_own_shape() {
    let shop = Shop::open().await;
    for (used, status) in [(3, None), (6, None), (9, None), (9, Some("8"))] {
        let request = Request::post("/priced")
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {}", shop.key.reveal()));
        let answer = shop.site.http2(request.body(Empty::new()).expect("a request")).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (200, status), "{answer:?}");
        shop.check(used, 0).await;
    }
}

/// A handler that charges where nobody books is an error, and no free call.
#[tokio::test]
async fn who_charges_without_a_meter_is_told() {
    let world = World::default();
    let app = Router::new()
        .route("/less", any(less))
        .fallback(any(|charge: Option<Charge>| async move { charge.is_some().to_string() }));
    let site = world.serve(app.layer(KeyAuthLayer::new(world.authenticator()))).await;
    let ten = Budget::new(units(10), BudgetWindow::Total);
    let key = world.issue(NewKey::named("any").budget(ten)).await;
    let bearer = format!("Authorization: Bearer {}", key.reveal());
    site.get("/less", &[&bearer]).await.assert_refused(503, "unavailable");
    assert!(world.has_logged("with_meter"));
    assert_eq!(site.get("/", &[&bearer]).await.body, "false");
    site.get("/less", &[]).await.assert_refused(401, "missing_key");
}

/// The charge of a layer further out is not taken for one's own.
#[tokio::test]
async fn a_charge_goes_with_its_principal() {
    let world = World::default();
    let meter = LedgerMeter::new(MemoryLedger::new());
    let (metered, _background) = world.authenticator().with_meter(meter).start();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sees = {
        let seen = Arc::clone(&seen);
        move |charge: Option<Charge>| async move {
            seen.lock().expect("no panic").push(charge.is_some());
        }
    };
    let app = Router::new().fallback(any(sees));
    let inner = app.layer(KeyAuthLayer::new(world.authenticator()));
    let site = world.serve(inner.layer(KeyAuthLayer::new(metered))).await;
    let key = world.issue(NewKey::named("any")).await;
    assert_eq!(site.bearer(key.reveal()).await.status, 200);
    assert_eq!(*seen.lock().expect("no panic"), [false]);
}
