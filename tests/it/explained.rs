//! Explanations say what the layer does.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use keyauth_core::{
    Authenticator, Clock, Directory, Explanation, FoundIn, Group, GroupId, GroupKind, KeyStore,
    KeyUpdate, Limit, MemoryStore, NewKey, Owner, OwnerId, OwnerUpdate, Patch, RequestFacts, Scope,
    Station, Status, Subscription, TenantId, TenantUpdate,
};
use keyauth_ratelimit::LocalLimiter;
use keyauth_testkit::{FakeClock, at_once};
use keyauth_tower::{KeyAuthLayer, PeerAddress, Refusal, RequireScope};
use proptest::prelude::*;
use tower::ServiceExt;
use tower_layer::Layer;

/// What is done to a key and to those it belongs to, and what is asked with it.
#[derive(Clone, Debug)]
struct Case {
    key: u8,
    owner_active: bool,
    tenant_active: bool,
    group: Option<(bool, GroupKind, bool)>,
    starts_in: Option<i8>,
    ends_in: Option<i8>,
    rotated: bool,
    allow: Vec<&'static str>,
    deny: Vec<&'static str>,
    endpoints: Vec<&'static str>,
    scopes: Vec<&'static str>,
    from: Option<&'static str>,
    method: &'static str,
    path: &'static str,
    needed: Vec<&'static str>,
}

fn some_of(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![2 => Just(Vec::new()), 1 => proptest::sample::subsequence(texts, 1..=texts.len())]
}

/// Mostly so, that a no at one station does not hide the others.
fn mostly() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.85)
}

fn cases() -> impl Strategy<Value = Case> {
    let kinds = [GroupKind::Standard, GroupKind::Exclusive, GroupKind::Subscription];
    let group = (mostly(), proptest::sample::select(kinds.to_vec()), mostly());
    let whose = (
        prop_oneof![6 => Just(0_u8), 1 => Just(1), 1 => Just(2), 1 => Just(3)],
        mostly(),
        mostly(),
        proptest::option::of(group),
    );
    let time = (
        proptest::option::weighted(0.3, -2..=2_i8),
        proptest::option::weighted(0.3, -2..=2_i8),
        prop::bool::weighted(0.2),
    );
    let rules = (
        some_of(&["192.0.2.0/24", "2001:db8::/32"]),
        some_of(&["192.0.2.1"]),
        some_of(&["GET /reports/*", "POST /reports"]),
        some_of(&["a", "b"]),
    );
    let request = (
        proptest::option::weighted(
            0.8,
            proptest::sample::select(vec![
                "192.0.2.1",
                "192.0.2.2",
                "2001:db8::1",
                "::ffff:192.0.2.2",
            ]),
        ),
        proptest::sample::select(vec!["GET", "POST"]),
        proptest::sample::select(vec![
            "/reports",
            "/reports/1",
            "/other",
            "/reports/%2e%2e/x",
            "//",
        ]),
        some_of(&["a", "b"]),
    );
    (whose, time, rules, request).prop_map(|(whose, time, rules, request)| {
        let (key, owner_active, tenant_active, group) = whose;
        let (starts_in, ends_in, rotated) = time;
        let (allow, deny, endpoints, scopes) = rules;
        let (from, method, path, needed) = request;
        Case {
            key,
            owner_active,
            tenant_active,
            group,
            starts_in,
            ends_in,
            rotated,
            allow,
            deny,
            endpoints,
            scopes,
            from,
            method,
            path,
            needed,
        }
    })
}

fn status(active: bool) -> Option<Status> {
    Some(if active { Status::Active } else { Status::Inactive })
}

/// Makes the key, and gives back the text that is presented.
async fn prepare(case: &Case, store: &MemoryStore, clock: &FakeClock) -> String {
    let (tenant, ada) = (TenantId::default(), OwnerId::new("ada").expect("an owner"));
    store.put_owner(&Owner::new(tenant.clone(), ada.clone())).await.expect("an owner");
    // Times are set while they are ahead.
    let now = clock.now();
    let hour = |hours: i8| {
        let hours = u64::try_from(hours + 3).expect("from one to five");
        now.saturating_add(Duration::from_secs(hours * 3_600))
    };
    let mut new = NewKey::named("explained").owner("ada");
    for scope in &case.scopes {
        new = new.scope(*scope);
    }
    for endpoint in &case.endpoints {
        new = new.endpoint(*endpoint);
    }
    if let (Some(start), None) = (case.starts_in, case.ends_in) {
        new = new.starts_at(hour(start));
    }
    if let Some(end) = case.ends_in {
        new = new.expires_at(hour(end));
    }
    let key = store.issue(new).await.expect("a valid key");
    let addresses = KeyUpdate::new()
        .allow_addresses(case.allow.iter().copied())
        .deny_addresses(case.deny.iter().copied());
    store.update(&key, addresses).await.expect("valid");
    if let Some((active, kind, open)) = case.group {
        let plan = GroupId::new("plan").expect("a group");
        let standard = Group::new(tenant.clone(), plan.clone(), GroupKind::Standard);
        store.put_group(&standard).await.expect("a group");
        store.update(&key, KeyUpdate::new().group("plan")).await.expect("valid");
        let group = Group { kind, ..standard };
        let status = status(active).unwrap_or(group.status);
        store.put_group(&Group { status, ..group }).await.expect("a group");
        if open {
            store.add_member(&tenant, &plan, &ada).await.expect("a member");
            let open_ended = Subscription::open_ended();
            store.put_subscription(&tenant, &plan, &ada, open_ended).await.expect("one");
        }
    }
    let mut text = key.reveal().to_owned();
    if case.rotated {
        store.rotate(&key, keyauth_core::Rotation::immediate()).await.expect("rotated");
    }
    match case.key {
        1 => drop(store.disable(&key).await.expect("disabled")),
        2 => drop(store.revoke(&key).await.expect("revoked")),
        3 => text = "sk_".to_owned() + &"0".repeat(49),
        _ => {}
    }
    let status_of_owner = status(case.owner_active);
    let update =
        OwnerUpdate { status: status_of_owner, max_keys: Patch::Keep, ..Default::default() };
    store.update_owner(&tenant, &ada, &update).await.expect("valid");
    let update = TenantUpdate { status: status(case.tenant_active), ..Default::default() };
    store.update_tenant(&tenant, &update).await.expect("valid");
    clock.set_wall(hour(0));
    text
}

async fn reached(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::default()))
}

/// The code that the layer refuses with, and that which is explained.
fn told(case: &Case) -> (Option<&'static str>, Option<&'static str>) {
    let clock = Arc::new(FakeClock::default());
    let issuer = keyauth_core::Issuer::new().with_clock(Arc::clone(&clock) as _);
    let store = MemoryStore::with_issuer(issuer);
    let text = at_once(prepare(case, &store, &clock));
    let auth = Authenticator::new(store).with_clock(clock);

    let mut request = Request::builder()
        .method(case.method)
        .uri(case.path)
        .header("authorization", format!("Bearer {text}"))
        .body(())
        .expect("a request");
    let from: Option<IpAddr> = case.from.map(|from| from.parse().expect("an address"));
    if let Some(from) = from {
        request.extensions_mut().insert(PeerAddress(SocketAddr::new(from, 1)));
    }
    let needed: Vec<Scope> =
        case.needed.iter().map(|scope| Scope::new(scope).expect("a scope")).collect();
    let service = RequireScope::all(case.needed.iter().copied()).layer(tower::service_fn(reached));
    let service = KeyAuthLayer::new(auth.clone()).layer(service);
    let response = at_once(service.oneshot(request)).expect("infallible");
    let refused = response.extensions().get::<Refusal>().map(Refusal::code);

    let facts = RequestFacts::new().with_endpoint(case.method, case.path).with_scopes(&needed);
    let facts = match from {
        Some(from) => facts.with_address(from.to_canonical()),
        None => facts,
    };
    let explanation = at_once(auth.explain(&text, &facts)).expect("the store answers");
    (refused, explanation.denial().map(keyauth_core::Denial::code))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn explanations_and_the_layer_never_disagree(case in cases()) {
        let (refused, explained) = told(&case);
        prop_assert_eq!(refused, explained);
    }
}

/// The cases above get to every station and past all of them.
#[test]
fn the_cases_are_of_all_kinds() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..3_000 {
        let case = cases().new_tree(&mut runner).expect("a case").current();
        seen.insert(told(&case).0.unwrap_or("reached"));
    }
    for code in [
        "reached",
        "invalid_key",
        "key_disabled",
        "key_revoked",
        "key_expired",
        "key_not_yet_valid",
        "owner_inactive",
        "tenant_inactive",
        "group_inactive",
        "group_denied",
        "subscription_required",
        "address_denied",
        "endpoint_denied",
        "invalid_request",
        "scope_denied",
    ] {
        assert!(seen.contains(code), "{code}: {seen:?}");
    }
}

/// All that is wrong is said, and how limits stand, and nothing is counted.
#[tokio::test]
async fn an_explanation_says_all_of_it() {
    let store = MemoryStore::new();
    let new = NewKey::named("explained").owner("ada").allow_address("192.0.2.0/24").scope("a");
    let key = store.issue(new.limit(Limit::per_minute(2))).await.expect("a key");
    let auth = Authenticator::new(store.clone()).with_limiter(LocalLimiter::new());
    let needed = [Scope::new("b").expect("a scope")];
    let facts = RequestFacts::new().with_scopes(&needed);
    store.disable(&key).await.expect("disabled");
    for _ in 0..3 {
        let explanation = auth.explain(key.reveal(), &facts).await.expect("an answer");
        let Explanation::Known(known) = explanation else { panic!("{explanation:?}") };
        let no: Vec<_> =
            known.stations.iter().filter(|at| at.denial.is_some()).map(|at| at.station).collect();
        assert_eq!(no, [Station::Status, Station::Address, Station::Scopes]);
        assert_eq!((known.limits.len(), known.limits[0].remaining), (1, 2), "{:?}", known.limits);
        assert_eq!(known.record.key.id, key.id());
    }
    let unknown = "sk_".to_owned() + &"0".repeat(49);
    let malformed = auth.explain(&unknown, &facts).await.expect("an answer");
    assert!(matches!(malformed, Explanation::Malformed), "{malformed:?}");
    let foreign = auth.explain("ghp_somebody_elses", &facts).await.expect("an answer");
    assert!(matches!(foreign, Explanation::Foreign), "{foreign:?}");
    store.delete(&key).await.expect("deleted");
    let gone = auth.explain(key.reveal(), &facts).await.expect("an answer");
    assert!(matches!(gone, Explanation::Unknown { found_in: FoundIn::Lookup }), "{gone:?}");
}
