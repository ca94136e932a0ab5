//! What is noted of changes that nobody asked a store for.

use keyauth_core::{
    Actor, Amount, AuditAction, AuditLog, AuditQuery, AuditedThing, BudgetWindow, ChargeId,
    ChargedBudget, KeyRef, KeyStore, KeyUpdate, LimitedSubject, NewKey, Subject,
};
use keyauth_core::{AuditEntry, Budget, Ledger, NewCharge, WhenAbandoned};
use keyauth_sqlite::SqliteStore;
use keyauth_sqlite::sqlx::{Connection, SqliteConnection, raw_sql};

async fn open() -> (SqliteStore, SqliteConnection, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a new file");
    let sqlite3 = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await;
    (store, sqlite3.expect("the file"), folder)
}

async fn last(store: &SqliteStore, count: u16) -> Vec<AuditEntry> {
    store.audit(&AuditQuery::last_of_all(count)).await.expect("the store answers")
}

#[tokio::test]
async fn statements_by_hand_are_noted() {
    let (store, mut sqlite3, _folder) = open().await;
    let key = store.issue(NewKey::named("noted")).await.expect("a key");
    let update = "UPDATE keys SET status = 'disabled', expires_at = 1700000000123456";
    raw_sql(update).execute(&mut sqlite3).await.expect("it runs");
    let [entry] = &last(&store, 1).await[..] else { panic!("nothing was noted") };
    assert_eq!((entry.what, entry.action), (AuditedThing::Key, AuditAction::Changed));
    assert_eq!((&entry.subject, &entry.actor), (&Subject::Key(key.id()), &None));
    assert_eq!(entry.before.len(), 2, "{entry:?}");
    assert_eq!(entry.after.get("expires_at"), Some(&1_700_000_000_123_456_i64.into()));
    raw_sql("DELETE FROM keys").execute(&mut sqlite3).await.expect("it runs");
    let [entry] = &last(&store, 1).await[..] else { panic!("nothing was noted") };
    assert_eq!((entry.what, entry.action), (AuditedThing::Key, AuditAction::Deleted));
    assert_eq!(entry.before.get("name"), Some(&"noted".into()));
}

#[tokio::test]
async fn nobody_acts_as_who_came_before() {
    let (store, mut sqlite3, _folder) = open().await;
    let key = store.issue(NewKey::named("noted")).await.expect("a key");
    let acting = store.acting_as(Actor::new("admin").expect("an actor"));
    acting.update(&key, KeyUpdate::new().group("none")).await.expect_err("no such group");
    store.disable(&key).await.expect("disabled");
    assert_eq!(last(&store, 1).await[0].actor, None);
    acting.enable(&key).await.expect("enabled");
    assert!(last(&store, 1).await[0].actor.is_some());
    raw_sql("UPDATE keys SET status = 'disabled'").execute(&mut sqlite3).await.expect("it runs");
    assert_eq!(last(&store, 1).await[0].actor, None);
}

#[tokio::test]
async fn that_a_budget_was_reset_is_noted() {
    let (store, mut sqlite3, _folder) = open().await;
    let key = store.issue(NewKey::named("noted").owner("ada")).await.expect("a key");
    let KeyRef { tenant, id } = KeyRef::from(&key);
    for subject in [
        LimitedSubject::Key(tenant.clone(), id),
        LimitedSubject::Tenant(tenant.clone()),
        LimitedSubject::Owner(tenant.clone(), key.key().owner.clone()),
        LimitedSubject::Other("nobody".into()),
    ] {
        let ten = Amount::from_units(10).expect("an amount");
        let budget = Budget::new(ten, BudgetWindow::Day);
        let expected = match &subject {
            LimitedSubject::Key(_, id) => Subject::Key(*id),
            LimitedSubject::Owner(tenant, owner) => Subject::Owner(tenant.clone(), owner.clone()),
            LimitedSubject::Tenant(tenant) => Subject::Tenant(tenant.clone()),
            _ => Subject::Everything,
        };
        let budget = ChargedBudget { subject, budget };
        let charge = NewCharge {
            id: ChargeId::new(format!("{expected:?}").replace(' ', "")).expect("a name"),
            budgets: vec![budget.clone()],
            amount: ten,
            when_abandoned: WhenAbandoned::GivenBack,
        };
        store.reserve(&charge, std::time::Duration::from_secs(60)).await.expect("an answer");
        let seen = last(&store, 100).await.len();
        store.settle(&charge.id, ten).await.expect("settled");
        raw_sql("UPDATE accounts SET ends_at = 1").execute(&mut sqlite3).await.expect("it runs");
        let again = NewCharge { id: ChargeId::new(seen.to_string()).expect("a name"), ..charge };
        store.reserve(&again, std::time::Duration::from_secs(60)).await.expect("an answer");
        store.settle(&again.id, ten).await.expect("settled");
        assert_eq!(last(&store, 100).await.len(), seen, "a window that ends is nobody's doing");
        store.acting_as(Actor::new("ops").expect("an actor")).reset(&budget).await.expect("reset");
        let [entry] = &last(&store, 1).await[..] else { panic!("nothing was noted") };
        assert_eq!((entry.what, &entry.subject), (AuditedThing::Budget, &expected));
        assert_eq!(entry.actor.as_ref().map(Actor::as_str), Some("ops"));
        assert_eq!(entry.before.get("used"), Some(&1_000_000_000.into()));
        assert_eq!(entry.after.get("used"), Some(&0.into()));
    }
}

/// Whoever puts a digest of his own in the place of another has the key.
#[tokio::test]
async fn what_changes_hands_is_noted() {
    let (store, mut sqlite3, _folder) = open().await;
    let key = store.issue(NewKey::named("noted")).await.expect("a key");
    let mine = "UPDATE secrets SET digest = randomblob(32)";
    raw_sql(mine).execute(&mut sqlite3).await.expect("it runs");
    let entries = last(&store, 1).await;
    assert_eq!(
        (entries[0].what, &entries[0].subject),
        (AuditedThing::Secret, &Subject::Key(key.id()))
    );
    assert_eq!(entries[0].after.get("digest"), Some(&"hidden".into()), "{entries:?}");
    assert!(entries[0].after.contains_key("id"), "which one: {entries:?}");
}
