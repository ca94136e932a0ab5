//! The gateway, as whoever follows what it prints meets it.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use keyauth_testkit::{PostgresDatabase, RedisServers};
use keyauth_tests::{Answer, Running, call};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GATEWAY: &str = env!("CARGO_BIN_EXE_llm-gateway");

struct Gateway {
    running: Running,
    address: String,
    bearer: String,
}

impl Gateway {
    async fn start(folder: &Path) -> Self {
        Self::of(Running::start(GATEWAY, folder, &[("PORT", "0")])).await
    }

    async fn of(mut running: Running) -> Self {
        let line = running.line_with("listening on").await;
        let address = line.rsplit('/').next().expect("an address").to_owned();
        let key = running.printed.lines().find(|line| line.starts_with("    sk_"));
        let bearer = format!("Authorization: Bearer {}", key.unwrap_or_default().trim());
        Self { running, address, bearer }
    }

    fn question(&self, model: &str, words: u64) -> String {
        let body =
            json!({ "model": model, "prompt": "hello there", "max_tokens": words }).to_string();
        format!(
            "POST /v1/completions HTTP/1.1\r\nHost: a\r\n{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.bearer,
            body.len()
        )
    }

    async fn ask(&self, model: &str, words: u64) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.expect("a connection");
        stream.write_all(self.question(model, words).as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        Answer::parse(&String::from_utf8_lossy(&answer))
    }

    async fn usage(&self) -> Value {
        let answer = call(&self.address, "GET", "/v1/usage", &[&self.bearer]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Waits until nothing is reserved any more, and gives the usage.
    async fn at_rest(&self) -> Value {
        let resting = async {
            loop {
                let usage = self.usage().await;
                if usage["budgets"][0]["reserved"] == "0" {
                    break usage;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), resting).await.expect("it is settled")
    }
}

#[tokio::test]
async fn answers_cost_what_was_sent_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(folder.path()).await;
    let answer = gateway.ask("small", 20).await;
    assert_eq!((answer.status, answer.body.matches("indeed").count()), (200, 20));
    // Two words in and twenty out, at 0.0000005 and 0.000002.
    let usage = gateway.at_rest().await;
    let budget = &usage["budgets"][0];
    assert_eq!((&budget["name"], &budget["limit"]), (&json!("day"), &json!("0.01")));
    let spent = [&json!("0.000041"), &json!("0.009959")];
    assert_eq!([&budget["used"], &budget["remaining"]], spent);
    assert_eq!(usage["total"]["cost"], "0.000041");
    assert_eq!((&usage["total"]["input"], &usage["total"]["output"]), (&json!(2), &json!(20)));
    // More than there is left is not begun with, and reading goes on.
    gateway.ask("large", 4_000).await.assert_refused(429, "budget_exhausted");
    let budget = &gateway.at_rest().await["budgets"][0];
    assert_eq!([&budget["used"], &budget["remaining"]], spent);
    // Who hangs up pays for what was made, and gets the rest back.
    let mut client = TcpStream::connect(&gateway.address).await.expect("a connection");
    client.write_all(gateway.question("large", 300).as_bytes()).await.expect("sent");
    let mut some = Vec::new();
    while some.windows(6).filter(|word| word == b"indeed").count() < 10 {
        let mut piece = [0; 512];
        let len = client.read(&mut piece).await.expect("some of it");
        some.extend_from_slice(&piece[..len]);
    }
    let reserved = gateway.usage().await["budgets"][0]["reserved"].clone();
    assert_eq!(reserved, "0.00902");
    drop(client);
    let usage = gateway.at_rest().await;
    let used: f64 =
        usage["budgets"][0]["used"].as_str().and_then(|used| used.parse().ok()).expect("it");
    assert!((0.000_3..0.005).contains(&used), "{usage}");
    // A reading is on record when its answer has ended: the last one knows of all before it.
    let requests = |usage: &Value| usage["total"]["requests"].as_u64();
    let (mut usage, mut last) = (gateway.usage().await, usage);
    while requests(&usage) != requests(&last).map(|last| last + 1) {
        last = std::mem::replace(&mut usage, gateway.usage().await);
    }
    let (before, bearer) = (usage, gateway.bearer.clone());
    for bad in ["medium", "small"] {
        assert_eq!(gateway.ask(bad, 0).await.status, 400);
    }
    assert!(gateway.running.terminate().await, "it ends well when asked to");
    // Nothing is forgotten.
    let gateway = Gateway { bearer, ..Gateway::start(folder.path()).await };
    let after = gateway.usage().await;
    assert_eq!(after["budgets"], before["budgets"]);
    // The last reading, and the two that were bad.
    assert_eq!(requests(&after), requests(&before).map(|before| before + 3));
}

/// Several of it share keys and money.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_shares_what_there_is_to_spend() {
    let (database, servers) = (PostgresDatabase::create().await, RedisServers::start().await);
    let redis = servers.urls().remove(0);
    let variables = [("PORT", "0"), ("DATABASE_URL", database.url()), ("REDIS_URL", &redis)];
    let folder = tempfile::tempdir().expect("a folder");
    let start =
        || Gateway::of(Running::start_with(GATEWAY, &["--fleet"], folder.path(), &variables));
    let here = start().await;
    let there = Gateway { bearer: here.bearer.clone(), ..start().await };
    assert!(there.running.printed.contains("was shown at the first start"));
    assert_eq!(here.ask("large", 200).await.status, 200);
    assert_eq!(there.at_rest().await["budgets"][0]["used"], "0.00602");
    there.ask("large", 200).await.assert_refused(429, "budget_exhausted");
    assert_eq!(there.ask("large", 100).await.status, 200);
    let usage = here.at_rest().await;
    assert_eq!(usage["budgets"][0]["used"], "0.00904");
    for gateway in [here, there] {
        assert!(gateway.running.terminate().await, "it ends well when asked to");
    }
}
