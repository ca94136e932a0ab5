//! Through pgbouncer, where it is installed.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use keyauth_cache::CacheOptions;
use keyauth_core::{ChangeFeed, FeedReader, KeyStore, NewKey};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::world::{ADMITTED, REVOKED, Served, World, instance};
use super::{ledger, usage};

/// A pooler of a test's own, ended with this value.
struct Pooler {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&folders).chain(["/usr/sbin".into()]);
    places.map(|folder| folder.join("pgbouncer")).find(|program| program.exists())
}

/// Whether it passes on prepared statements in transaction mode: version 1.21 and later.
fn knows_statements(program: &PathBuf) -> bool {
    let output = Command::new(program).arg("--version").output().expect("it says its version");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= 21)
}

async fn start(program: &PathBuf, server: &PgConnectOptions, mode: &str) -> Pooler {
    let folder = tempfile::tempdir().expect("a folder");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a port").port();
    let statements = if knows_statements(program) { "max_prepared_statements = 100" } else { "" };
    let file = folder.path().join("pgbouncer.ini");
    let settings = format!(
        "[databases]\n* = host={} port={} user={} password=postgres\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n\
         unix_socket_dir =\nlogfile = {}\nignore_startup_parameters = extra_float_digits\n\
         {statements}\n",
        server.get_host(),
        server.get_port(),
        server.get_username(),
        folder.path().join("log").display(),
    );
    std::fs::write(&file, settings).expect("written");
    // It refuses to run as root, and is then run as the user that every system has.
    let as_root = Command::new("id").arg("-u").output().expect("an id").stdout == b"0\n";
    let mut command = Command::new(program);
    if as_root {
        let open = ["-R", "a+rwX", folder.path().to_str().expect("a UTF-8 name")];
        Command::new("chmod").args(open).status().expect("chmod can be run");
        command.args(["-u", "nobody"]);
    }
    let process = command.arg(&file).stderr(Stdio::null()).spawn().expect("it starts");
    let pooler = Pooler { process, port, _folder: folder };
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    pooler
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "it says what it has not tried")]
async fn lookups_may_go_through_a_pooler_and_the_feed_around_it() {
    let Some(program) = program() else {
        println!("pgbouncer is not installed; nothing was tried through it");
        return;
    };
    let mode = if knows_statements(&program) { "transaction" } else { "session" };
    println!("pgbouncer in {mode} mode");
    let world = World::create().await;
    let server: PgConnectOptions = world.database.url().parse().expect("a URL");
    let pooler = start(&program, &server, mode).await;
    let through = server.clone().host("127.0.0.1").port(pooler.port);
    let pool = PgPoolOptions::new().max_connections(5).connect_with(through).await;
    let store = PostgresStore::new(pool.expect("the pooler")).with_direct(server);
    assert!(store.migrate().await.expect("a way around").is_empty());
    let served = Served::start(store.clone(), CacheOptions::new());
    for _ in 0..10 {
        let key = store.issue(NewKey::named("pooled")).await.expect("a key");
        served.wait_for(&key, ADMITTED).await;
        world.store.revoke(&key).await.expect("revoked elsewhere");
        served.wait_for(&key, REVOKED).await;
    }
    let key = store.issue(NewKey::named("pooled")).await.expect("a key");
    ledger::charge_and_reset(&store).await;
    usage::write_and_read(&store, &key).await;
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "it says what it was told")]
async fn a_feed_through_a_pooler_in_transaction_mode_serves_nothing_stale() {
    let Some(program) = program() else { return };
    let world = World::create().await;
    let server: PgConnectOptions = world.database.url().parse().expect("a URL");
    let pooler = start(&program, &server, "transaction").await;
    let through = server.host("127.0.0.1").port(pooler.port);
    let store = PostgresStore::connect(world.database.url()).await.expect("a server");
    // A mistake: the feed goes through it. A session that is another one is noticed.
    let mut reader = store.clone().with_direct(through.clone()).reader(instance("reader").0);
    reader.poll().await.expect("a page");
    world
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND query LIKE '%pg_current_snapshot%' \
             AND pid <> pg_backend_pid()",
        )
        .await;
    let error = reader.poll().await.expect_err("not the session that has read so far");
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    println!("{source}");
    reader.poll().await.expect("a page from a new one");
    // It is slower then, and as true.
    let options = CacheOptions::new().max_staleness(std::time::Duration::from_secs(1));
    let served = Served::start(store.with_direct(through), options);
    for _ in 0..5 {
        let key = world.issue(NewKey::named("pooled")).await;
        served.wait_for(&key, ADMITTED).await;
        world.store.revoke(&key).await.expect("revoked");
        served.wait_for(&key, REVOKED).await;
    }
}
