//! The quickstart, as whoever follows the README meets it.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::process::Command;

use keyauth_tests::{Answer, Running, call};
use tokio::io::AsyncWriteExt;

const QUICKSTART: &str = env!("CARGO_BIN_EXE_quickstart");

/// Starts it and gives its address and the key it shows, if it shows one.
async fn start(folder: &std::path::Path) -> (Running, String, Option<String>) {
    let mut running = Running::start(QUICKSTART, folder, &[("PORT", "0")]);
    running.line_with("/admin").await;
    let words = running.printed.split_whitespace();
    let address = words.clone().find_map(|word| word.strip_prefix("http://")).expect("an address");
    let address = address.trim_end_matches(',').to_owned();
    let shown = running.printed.lines().find(|line| line.starts_with("    sk_"));
    let key = shown.map(|line| line.trim().to_owned());
    (running, address, key)
}

async fn get(address: &str, path: &str, key: Option<&str>) -> Answer {
    let headers = key.map(|key| format!("Authorization: Bearer {key}"));
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    call(address, "GET", path, &headers).await
}

#[tokio::test]
async fn the_key_is_shown_once_and_works_ever_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, address, key) = start(folder.path()).await;
    let key = key.expect("the first start shows a key");
    assert_eq!(running.printed.matches("curl -i ").count(), 4);
    get(&address, "/whoami", None).await.assert_refused(401, "missing_key");
    get(&address, "/whoami", Some("sk_wrong")).await.assert_refused(401, "invalid_key");
    get(&address, "/admin", Some(&key)).await.assert_refused(403, "scope_denied");
    let who = get(&address, "/whoami", Some(&key)).await;
    let before: serde_json::Value = serde_json::from_str(&who.body).expect("JSON");
    assert_eq!(before["owner"], "ada");
    assert_eq!(before["scopes"], serde_json::json!(["reports:read"]));
    assert!(before["key_id"].is_string());
    assert!(running.terminate().await, "it ends well when asked to");

    let (running, address, shown) = start(folder.path()).await;
    assert_eq!(shown, None, "{}", running.printed);
    let who = get(&address, "/whoami", Some(&key)).await;
    let after: serde_json::Value = serde_json::from_str(&who.body).expect("JSON");
    assert_eq!(after, before);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocker = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = blocker.local_addr().expect("its address").port().to_string();
    let missing = folder.path().join("no/such/folder/keys.db");
    let missing = missing.to_str().expect("a UTF-8 path");
    for (variables, expected) in [
        ([("PORT", taken.as_str()), ("KEYAUTH_DB", "keys.db")], "is not to be had"),
        ([("PORT", "http"), ("KEYAUTH_DB", "keys.db")], "which is no port"),
        ([("PORT", "0"), ("KEYAUTH_DB", missing)], "could not be opened"),
    ] {
        let mut command = Command::new(QUICKSTART);
        let output = command.current_dir(folder.path()).envs(variables).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(output.stdout.is_empty(), "no key is shown by a start that fails");
    }
    drop(blocker);
    let mut command = Command::new(QUICKSTART);
    let output = command.current_dir(folder.path()).arg("--port").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("set PORT"), "{said}");
}

#[tokio::test]
async fn many_may_start_on_one_new_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut starting: Vec<_> =
        (0..6).map(|_| Running::start(QUICKSTART, folder.path(), &[("PORT", "0")])).collect();
    for running in &mut starting {
        running.line_with("/admin").await;
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, address, _) = start(folder.path()).await;
    let mut silent = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    silent.write_all(b"G").await.expect("one byte");
    // Answered behind it, so that the byte has arrived.
    get(&address, "/whoami", None).await.assert_refused(401, "missing_key");
    assert!(running.terminate().await, "it ends well all the same");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_key_that_could_not_be_shown_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the device");
    let mut command = Command::new(QUICKSTART);
    command.current_dir(folder.path()).env("PORT", "0").stdout(full);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("standard output"), "{said}");
    let (_running, address, key) = start(folder.path()).await;
    let key = key.expect("the next start shows a key");
    assert_eq!(get(&address, "/whoami", Some(&key)).await.status, 200);
}
