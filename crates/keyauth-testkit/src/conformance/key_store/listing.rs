//! Finding keys among many.

use std::time::Duration;

use keyauth_core::{
    Directory, Group, GroupKind, KeyId, KeyOrder, KeyPosition, KeyQuery, KeyStatus, KeyStore,
    NewKey, Tenant, TenantId,
};

use super::bench::{Bench, check_problems, group, issue, owner};

fn query() -> KeyQuery {
    KeyQuery::first(TenantId::default(), 2)
}

/// All that a query finds, page by page.
async fn read(store: &impl KeyStore, mut query: KeyQuery) -> Vec<KeyId> {
    let mut found = Vec::new();
    loop {
        let keys = store.keys(&query).await.expect("the store answers");
        assert!(keys.len() <= usize::from(query.count));
        let Some(last) = keys.last() else { return found };
        query = query.after(last);
        found.extend(keys.iter().map(|key| key.id));
    }
}

/// Pages leave nothing out and hold nothing twice, in every order.
pub async fn pages_hold_every_key_once<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let begin = bench.now();
    let mut issued = Vec::new();
    for name in ["b", "a", "b", "C", "\u{e4}", "a"] {
        bench.clock.advance(Duration::from_millis(1));
        // Of a custom key of 32 characters the first four are shown: of each two the same.
        let begins = ["bbbb", "aaaa", "cccc"][issued.len() / 2];
        let new = NewKey::named(name).custom(&format!("{begins}-{:-<32}", issued.len()));
        // The later it is issued, the earlier it expires; two at one time, and two never.
        let new = match [9_000, 8_000, 7_000, 7_000].get(issued.len()) {
            Some(seconds) => new.expires_at(begin.saturating_add(Duration::from_secs(*seconds))),
            None => new,
        };
        allow_custom(&store).await;
        issued.push(issue(&store, new).await.id());
    }
    let other = TenantId::new("acme").expect("a tenant");
    store.put_tenant(&Tenant::new(other.clone())).await.expect("a tenant");
    issue(&store, NewKey::named("a").tenant("acme")).await;

    let ids = |at: &[usize]| at.iter().map(|at| issued[*at]).collect::<Vec<_>>();
    let prefix = String::new();
    let (by_name, by_hint) = (KeyOrder::Name { prefix: prefix.clone() }, KeyOrder::Hint { prefix });
    assert_eq!(read(&store, query()).await, issued);
    assert_eq!(read(&store, query().in_order(KeyOrder::Newest)).await, ids(&[5, 4, 3, 2, 1, 0]));
    assert_eq!(read(&store, query().in_order(by_name.clone())).await, ids(&[3, 1, 5, 0, 2, 4]));
    assert_eq!(read(&store, query().in_order(by_hint)).await, ids(&[2, 3, 0, 1, 4, 5]));
    let one = KeyQuery { count: 1, ..query() };
    assert_eq!(read(&store, one.in_order(KeyOrder::Expiry)).await, ids(&[2, 3, 1, 0]));
    let never = store.key(&issued[5].into()).await.expect("there");
    let behind = query().in_order(KeyOrder::Expiry).after(&never);
    assert_eq!(read(&store, behind).await, [], "it is behind all that expire");
    assert_eq!(read(&store, KeyQuery::first(other, 2)).await.len(), 1);

    // Behind one that is no longer there.
    let first = store.keys(&query().in_order(by_name.clone())).await.expect("the store answers");
    let behind = query().in_order(by_name.clone()).after(&first[1]);
    store.delete(first[1].id).await.expect("can be deleted");
    assert_eq!(read(&store, behind).await, ids(&[5, 0, 2, 4]));
    let elsewhere = KeyQuery { after: Some(KeyPosition::Issued(issued[0])), ..query() };
    check_problems(store.keys(&elsewhere.in_order(by_name)).await, &["after"]);
}

async fn allow_custom(store: &impl Directory) {
    let tenant = Tenant::new(TenantId::default());
    let custom_keys = keyauth_core::CustomKeys::Allowed;
    store.put_tenant(&Tenant { custom_keys, ..tenant }).await.expect("a tenant");
}

/// What is searched for is plain text (G8), wherever it is looked for.
pub async fn keys_are_found_by_what_they_begin_with<S>(_: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    let names = ["50%", "50%_a", "50x", "5", "A", "a", "ab", "b", "'; --", "\u{10ffff}\u{10ffff}"];
    let mut keys = Vec::new();
    for name in names {
        keys.push(issue(&store, NewKey::named(name)).await);
    }
    for (prefix, expected) in [
        ("5", ["5", "50%", "50%_a", "50x"].as_slice()),
        ("50%", &["50%", "50%_a"]),
        ("50_", &[]),
        ("a", &["a", "ab"]),
        ("'; --", &["'; --"]),
        ("\u{10ffff}", &["\u{10ffff}\u{10ffff}"]),
        ("c", &[]),
    ] {
        let order = KeyOrder::Name { prefix: prefix.to_owned() };
        let page = KeyQuery::first(TenantId::default(), 100).in_order(order);
        let found = store.keys(&page).await.expect("the store answers");
        let found: Vec<_> = found.iter().map(|key| &*key.name).collect();
        assert_eq!(found, expected, "{prefix}");
    }
    let hint = keys[0].key().hint.as_str();
    for prefix in [hint, &hint[..11]] {
        let order = KeyOrder::Hint { prefix: prefix.to_owned() };
        let page = KeyQuery::first(TenantId::default(), 100).in_order(order);
        let found = store.keys(&page).await.expect("the store answers");
        assert!(found.iter().any(|key| key.id == keys[0].id()), "{prefix}");
        assert!(found.iter().all(|key| key.hint.as_str().starts_with(prefix)), "{prefix}");
    }
    let order = KeyOrder::Name { prefix: "a".to_owned() };
    let forged = KeyPosition::Text("5".into(), keys[0].id());
    let forged = KeyQuery { after: Some(forged), ..query().in_order(order) };
    check_problems(store.keys(&forged).await, &["after"]);
    for bad in ["a\0", "\n", &"x".repeat(257)] {
        let order = KeyOrder::Name { prefix: bad.to_owned() };
        check_problems(store.keys(&query().in_order(order)).await, &["prefix"]);
    }
}

/// By owner, group and status, all of them, within a tenant (G2).
pub async fn lists_are_narrowed<S>(bench: Bench, store: S)
where
    S: KeyStore + Directory + Clone + 'static,
{
    for tenant in ["default", "acme"] {
        let tenant = TenantId::new(tenant).expect("a tenant");
        store.put_tenant(&Tenant::new(tenant.clone())).await.expect("a tenant");
        let plan = Group::new(tenant, group("plan"), GroupKind::Standard);
        store.put_group(&plan).await.expect("a group");
    }
    let issue = async |new: NewKey| {
        bench.clock.advance(Duration::from_millis(1));
        issue(&store, new).await.id()
    };
    let plain = issue(NewKey::named("a").owner("ada")).await;
    let bound = issue(NewKey::named("b").owner("ada").group("plan")).await;
    let bobs = issue(NewKey::named("c").owner("bob").group("plan")).await;
    let foreign = NewKey::named("d").tenant("acme").owner("ada").group("plan");
    issue(foreign).await;
    store.disable(bound).await.expect("disabled");
    let revoked = issue(NewKey::named("e").owner("bob")).await;
    store.revoke(revoked).await.expect("revoked");

    let (ada, plan) = (Some(owner("ada")), Some(group("plan")));
    let of_ada = KeyQuery { owner: ada.clone(), ..query() };
    assert_eq!(read(&store, of_ada.clone()).await, [plain, bound]);
    assert_eq!(read(&store, of_ada.clone().in_order(KeyOrder::Newest)).await, [bound, plain]);
    let in_plan = KeyQuery { group: plan.clone(), ..query() };
    assert_eq!(read(&store, in_plan.clone()).await, [bound, bobs]);
    let both = KeyQuery { group: plan, ..of_ada.clone() };
    assert_eq!(read(&store, both).await, [bound]);
    let status = |status| KeyQuery { status: Some(status), ..query() };
    assert_eq!(read(&store, status(KeyStatus::Active)).await, [plain, bobs]);
    assert_eq!(read(&store, status(KeyStatus::Disabled)).await, [bound]);
    assert_eq!(read(&store, status(KeyStatus::Revoked)).await, [revoked]);
    let active = KeyQuery { status: Some(KeyStatus::Active), ..of_ada.clone() };
    assert_eq!(read(&store, active).await, [plain]);
    let nobody = KeyQuery { owner: Some(owner("nobody")), ..query() };
    assert_eq!(read(&store, nobody).await, []);

    for order in [KeyOrder::Name { prefix: String::new() }, KeyOrder::Expiry] {
        for narrowed in [&of_ada, &in_plan, &status(KeyStatus::Active)] {
            let query = narrowed.clone().in_order(order.clone());
            check_problems(store.keys(&query).await, &["order"]);
        }
    }
}
