//! The example, as its text says to run it: a server, and a client beside it.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use keyauth_tests::Running;

const GRPC: &str = env!("CARGO_BIN_EXE_grpc");

fn call(port: &str, key: &str) -> Output {
    Command::new(GRPC).args(["call", key]).env("PORT", port).output().expect("it runs")
}

#[tokio::test]
async fn a_key_is_greeted_and_a_stranger_is_not() {
    let mut server = Running::start(GRPC, Path::new("."), &[("PORT", "0")]);
    let port = server.line_with("listening on").await;
    let port = port.rsplit(':').next().expect("a port");
    let key = server.line_with("try:").await;
    let key = key.rsplit(' ').next().expect("a key");

    let greeted = call(port, key);
    assert!(greeted.status.success(), "{}", String::from_utf8_lossy(&greeted.stderr));
    assert_eq!(String::from_utf8_lossy(&greeted.stdout), "Good morning, ada\n");
    let refused = call(port, "sk_wrong");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("invalid_key"), "{said}");
}
