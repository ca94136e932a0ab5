//! `keyauth serve`, on a file and on servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use keyauth_testkit::{PostgresDatabase, RedisKeyspace};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::server::{Server, run, run_with};

fn first_key(folder: &std::path::Path) -> String {
    let key = fs::read_to_string(folder.join("keyauth-admin.key")).expect("it was written");
    key.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_an_administrator() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]).await;
    let file = folder.path().join("keyauth-admin.key");
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = first_key(folder.path());
    assert!(!server.running.printed.contains(&key), "it is printed");
    let me = server.get("/v1/me", &key).await;
    let me: Value = serde_json::from_str(&me.body).expect("JSON");
    assert_eq!(me["owner"], "administrator");
    assert_eq!(server.get("/v1/tenants/default", &key).await.status, 200);
    assert_eq!(server.get("/auth", &key).await.header("x-keyauth-owner"), Some("administrator"));
    assert_eq!(server.get("/healthz", "").await.body, "ok\n");
    assert_eq!(server.get("/readyz", "").await.body, "ready\n");
    server.get("/v1/nothing", &key).await.assert_refused(404, "not_found");
    let metrics = server.get("/metrics", "").await;
    assert!(metrics.body.contains("keyauth_requests_total"), "{}", metrics.body);
    assert!(!metrics.body.contains(&key));
    assert!(server.running.terminate().await, "it stops when it is told to");

    // Others do not: neither another key, nor over the file of the first.
    fs::remove_file(&file).expect("removed");
    let again = Server::start(folder.path(), &[]).await;
    assert!(!file.exists());
    assert_eq!(again.get("/v1/me", &key).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_written_over_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keyauth-admin.key");
    fs::write(&file, "something else").expect("written");
    let refused = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("keyauth-admin.key") && said.contains("move it away"), "{said}");
    assert_eq!(fs::read_to_string(&file).expect("there"), "something else");
    fs::remove_file(&file).expect("removed");
    let server = Server::start(folder.path(), &[]).await;
    assert_eq!(server.get("/v1/me", &first_key(folder.path())).await.status, 200);
}

/// Where the first one is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_can_be_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keyauth-admin.key");
    let server = Server::start(folder.path(), &[]).await;
    let first = first_key(folder.path());
    let taken = run(folder.path(), &["admin-key"]);
    assert_eq!(taken.status.code(), Some(1), "it is not written over");
    fs::remove_file(&file).expect("removed");
    let made = run(folder.path(), &["admin-key"]);
    assert!(made.status.success(), "{made:?}");
    let another = first_key(folder.path());
    assert_ne!(first, another);
    for key in [first, another] {
        assert_eq!(server.get("/v1/audit?everywhere=true", &key).await.status, 200);
    }
    fs::remove_file(&file).expect("removed");
    assert_eq!(left(folder.path()), 0, "nothing is left beside it");
}

/// How many files have a part of the name of the administrator's key.
fn left(folder: &std::path::Path) -> usize {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file"));
    files.filter(|file| file.file_name().to_string_lossy().starts_with("keyauth-admin")).count()
}

/// Of several that write the same file at once one does, and the others leave no key behind.
#[test]
fn one_of_several_writes_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(run(folder.path(), &["migrate"]).status.success());
    let codes: Vec<_> = std::thread::scope(|scope| {
        let begun: Vec<_> =
            (0..6).map(|_| scope.spawn(|| run(folder.path(), &["admin-key"]))).collect();
        begun.into_iter().map(|one| one.join().expect("ended").status.code()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
    let listed = run(folder.path(), &["keys", "list", "--json"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 1, "{listed:?}");
    assert_eq!(left(folder.path()), 1);
    let text = first_key(folder.path());
    let verified = run_with(folder.path(), &["verify"], &[], &text);
    assert!(verified.status.success(), "{verified:?}");
}

/// Flags count before variables, these before a file, and that before defaults.
#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_setting_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "listen = \"127.0.0.1:1\"\nprefix = [\"from_file\"]\nimported-keys = true\n\
                database = \"sqlite://from-file.db\"\n";
    fs::write(folder.path().join("keyauth.toml"), file).expect("written");
    let options = ["--config", "keyauth.toml", "--imported-keys=no"];
    let variables = [("KEYAUTH_DATABASE", "sqlite://from-variable.db")];
    let server = Server::start_with(folder.path(), &options, &variables).await;
    let key = first_key(folder.path());
    assert!(key.starts_with("from_file_"), "the file says so, and nobody else");
    assert!(folder.path().join("from-variable.db").exists());
    assert!(!folder.path().join("from-file.db").exists());
    assert_eq!(server.get("/v1/me", &key).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_shares_postgresql_and_redis() {
    let (database, redis) = (PostgresDatabase::create().await, RedisKeyspace::create().await);
    let folder = tempfile::tempdir().expect("a folder");
    let options = ["--database", database.url(), "--redis", redis.url()];
    let unmigrated = run(folder.path(), &[&["serve"], &options[..]].concat());
    assert_eq!(unmigrated.status.code(), Some(4));
    let said = String::from_utf8_lossy(&unmigrated.stderr);
    assert!(said.contains("keyauth migrate"), "{said}");
    for said in ["the schema is at version", "the schema is up to date"] {
        let migrated = run(folder.path(), &["migrate", "--database", database.url()]);
        assert!(migrated.status.success(), "{migrated:?}");
        assert!(String::from_utf8_lossy(&migrated.stdout).starts_with(said), "{migrated:?}");
    }
    let one = Server::start(folder.path(), &options).await;
    let key = first_key(folder.path());
    let other_folder = tempfile::tempdir().expect("a folder");
    let other = Server::start(other_folder.path(), &options).await;
    assert!(!other_folder.path().join("keyauth-admin.key").exists(), "one is enough");
    for server in [&one, &other] {
        assert_eq!(server.get("/v1/me", &key).await.status, 200);
        assert_eq!(server.get("/readyz", "").await.status, 200);
    }
    assert!(one.running.terminate().await && other.running.terminate().await);
}

/// Connections of whoever likes to connect take none of the files that the server needs itself.
#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_files_to_the_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with_files(folder.path(), 160).await;
    let held: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(server.address())).collect();
    assert!(held.iter().all(Result::is_ok), "the system takes them all");
    let log = || fs::read_to_string(folder.path().join("log")).expect("it says something");
    // Gone before the server has seen them, they would never have been too many.
    let told = async {
        while !log().contains("as many connections as there may be") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), told).await.expect("it says that there are too many");
    let waiting = tokio::spawn({
        let key = first_key(folder.path());
        async move { server.get("/v1/keys", &key).await.status }
    });
    // They are let go of in the order in which they came.
    drop(held);
    assert_eq!(waiting.await.expect("no panic"), 200, "the database is asked");
    let said = log();
    assert!(!said.contains("open files"), "{said}");
}
