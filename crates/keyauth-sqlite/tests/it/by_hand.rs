//! What is changed with `sqlite3` is changed like by a call of the API (R14).

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Change, ChangeFeed, Continuity, FeedReader, Instance, KeyStore, NewKey, Subject,
};
use keyauth_sqlite::sqlx::{self, AssertSqlSafe, Connection, SqliteConnection};
use keyauth_sqlite::{SqliteFeedReader, SqliteStore};
use keyauth_testkit::FakeClock;

struct World {
    store: SqliteStore,
    reader: SqliteFeedReader,
    clock: Arc<FakeClock>,
    sqlite3: SqliteConnection,
    _folder: tempfile::TempDir,
}

impl World {
    async fn create() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.db");
        let store = SqliteStore::open(&file).await.expect("a new file");
        let clock = Arc::new(FakeClock::default());
        let instance = Instance {
            name: "reader".into(),
            max_staleness: Duration::from_secs(5),
            grace: Duration::ZERO,
            clock: Arc::clone(&clock) as _,
        };
        let mut reader = store.reader(instance);
        reader.poll().await.expect("a page");
        let sqlite3 = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await;
        Self { store, reader, clock, sqlite3: sqlite3.expect("the file"), _folder: folder }
    }

    async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.sqlite3).await.map(drop)
    }

    /// What a statement by hand has changed: the words for the subjects, in order.
    async fn told(&mut self, sql: &str) -> Vec<&'static str> {
        self.run(sql).await.expect(sql);
        let page = self.reader.poll().await.expect("a page");
        assert_eq!(page.continuity, Continuity::Unbroken);
        let word = |change: &Change| match change {
            Change::Raised(Subject::Tenant(_), _) => "tenant",
            Change::Raised(Subject::Owner(..), _) => "owner",
            Change::Raised(Subject::Group(..), _) => "group",
            Change::Raised(Subject::Key(_), _) => "key",
            Change::NewSecret(_) => "secret",
            _ => "other",
        };
        page.changes.iter().map(word).collect()
    }
}

#[tokio::test]
async fn every_statement_by_hand_is_told() {
    let mut world = World::create().await;
    world.store.issue(NewKey::named("watched")).await.expect("a key");
    world.reader.poll().await.expect("a page");
    for (sql, expected) in [
        ("UPDATE keys SET name = 'renamed', hint = 'h', created_at = 1, updated_at = 2", vec![]),
        ("UPDATE keys SET status = 'disabled'", vec!["key"]),
        ("UPDATE keys SET status = 'disabled'", vec![]),
        ("UPDATE keys SET version = 1", vec!["key"]),
        ("UPDATE keys SET expires_at = 9000000000000000", vec!["key"]),
        ("UPDATE secrets SET ends_at = 9000000000000000", vec!["key"]),
        ("UPDATE secrets SET digest = randomblob(32)", vec!["secret", "key"]),
        (
            "INSERT INTO groups (tenant, id, kind, status) VALUES ('default', 'g', 'standard', 'active')",
            vec!["group"],
        ),
        ("INSERT INTO memberships VALUES ('default', 'g', 'default')", vec!["owner"]),
        ("DELETE FROM memberships", vec!["owner"]),
        (
            "INSERT INTO subscriptions VALUES ('default', 'g', 'default', 'active', NULL)",
            vec!["owner"],
        ),
        ("UPDATE subscriptions SET status = 'inactive'", vec!["owner", "owner"]),
        ("UPDATE groups SET status = 'inactive'", vec!["group"]),
        ("UPDATE owners SET status = 'inactive'", vec!["owner"]),
        ("UPDATE tenants SET status = 'inactive'", vec!["tenant"]),
        ("DELETE FROM secrets", vec!["key"]),
        ("DELETE FROM keys", vec!["key"]),
    ] {
        let mut told = world.told(sql).await;
        told.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(told, expected, "{sql}");
    }
}

#[tokio::test]
async fn every_column_of_a_key_decides_unless_it_is_said_not_to() {
    let mut world = World::create().await;
    world.store.issue(NewKey::named("any")).await.expect("a key");
    let owner = "INSERT INTO owners (tenant, id, status) VALUES ('default', 'o', 'active')";
    world.run(owner).await.expect("an owner");
    let group = "INSERT INTO groups (tenant, id, kind, status) \
                 VALUES ('default', 'g', 'standard', 'active')";
    world.run(group).await.expect("a group");
    world.reader.poll().await.expect("a page");
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info('keys')")
        .fetch_all(&mut world.sqlite3)
        .await
        .expect("columns");
    assert!(columns.len() >= 20);
    for column in columns {
        let value = match column.as_str() {
            // They name the key and never change, or change with the status alone.
            "id" | "tenant" | "revoked_at" | "deleted_at" => continue,
            "owner" => "'o'",
            "group_id" => "'g'",
            "status" => "'disabled'",
            "starts_at" => "1",
            "expires_at" => "9000000000000000",
            "created_at" | "updated_at" | "version" => "7",
            "name" | "hint" => "'another'",
            _ => "'[\"a\"]'",
        };
        let decides = !["name", "hint", "created_at", "updated_at"].contains(&column.as_str());
        let told = world.told(&format!("UPDATE keys SET {column} = {value}")).await;
        assert_eq!(told.len(), usize::from(decides), "{column}");
    }
}

#[tokio::test]
async fn names_stay_and_so_do_secrets_with_their_key() {
    let mut world = World::create().await;
    world.store.issue(NewKey::named("one")).await.expect("a key");
    world.store.issue(NewKey::named("two")).await.expect("a key");
    for sql in [
        "UPDATE keys SET id = randomblob(16) WHERE name = 'one'",
        "UPDATE secrets SET key_id = (SELECT id FROM keys WHERE name = 'one')",
        "UPDATE tenants SET id = 'other'",
        "UPDATE owners SET id = 'other'",
    ] {
        world.run(sql).await.expect_err(sql);
    }
}

#[tokio::test]
async fn terms_longer_than_the_history_are_refused() {
    let world = World::create().await;
    let mut patient = world.store.reader(Instance {
        name: "patient".into(),
        max_staleness: Duration::from_secs(5),
        grace: Duration::from_secs(3_600),
        clock: Arc::clone(&world.clock) as _,
    });
    let error = patient.poll().await.expect_err("it would serve what nobody knows of");
    let error = std::error::Error::source(&error).expect("a source").to_string();
    assert!(error.contains("shorten `max_staleness`"), "{error}");
}

#[tokio::test]
async fn a_change_of_many_thousands_is_told_by_saying_so() {
    let mut world = World::create().await;
    world.reader.poll().await.expect("a page");
    let many = |count: u32| {
        format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) \
             INSERT INTO invalidations (kind, tenant, subject, version, changed_at) \
             SELECT 'key', 'default', randomblob(16), n, 0 FROM n"
        )
    };
    world.run(&many(1_000)).await.expect("a change");
    let page = world.reader.poll().await.expect("a page");
    assert_eq!((page.continuity, page.changes.len()), (Continuity::Unbroken, 1_000));
    world.run(&many(1_000_000)).await.expect("a change");
    let page = world.reader.poll().await.expect("a page in time");
    assert_eq!((page.continuity, page.changes.len()), (Continuity::TooMany, 0));
    let page = world.reader.poll().await.expect("a page");
    assert_eq!((page.continuity, page.changes.len()), (Continuity::Unbroken, 0));
}

#[tokio::test]
async fn who_has_not_read_what_was_trimmed_is_told_so() {
    let mut world = World::create().await;
    world.store.issue(NewKey::named("any")).await.expect("a key");
    world.reader.poll().await.expect("a page");
    // The clock of the reader is far ahead of the file's, so that all is old.
    world.run("UPDATE invalidations SET changed_at = 0").await.expect("made old");
    let mut other = world.store.reader(Instance {
        name: "trimmer".into(),
        max_staleness: Duration::from_secs(5),
        grace: Duration::ZERO,
        clock: Arc::clone(&world.clock) as _,
    });
    assert!(!other.poll().await.expect("a page").changes.is_empty());
    other.acknowledge().await.expect("acknowledged and trimmed");
    assert_eq!(world.reader.poll().await.expect("a page").continuity, Continuity::Unbroken);
    world
        .run("UPDATE keys SET status = 'disabled'; UPDATE invalidations SET changed_at = 0")
        .await
        .expect("a change");
    world.clock.advance(Duration::from_secs(61));
    other.acknowledge().await.expect("acknowledged and trimmed");
    let page = world.reader.poll().await.expect("a page");
    assert_eq!((page.continuity, page.changes.len()), (Continuity::Broken, 0));
    assert_eq!(world.reader.poll().await.expect("a page").continuity, Continuity::Unbroken);
}
