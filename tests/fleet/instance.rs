//! A process that serves.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// When requests began, by the machine's uptime, and how many there were.
pub(crate) struct Hammered {
    pub(crate) first_refused: Duration,
    pub(crate) last_admitted: Duration,
    pub(crate) last: Duration,
    pub(crate) count: u64,
}

/// A running `instance`, killed with this value.
pub(crate) struct Instance {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Instance {
    /// One that serves for a minute when it is cut off.
    pub(crate) async fn start(url: &str, name: &str, max_staleness: Duration) -> Self {
        Self::start_with_grace(url, name, max_staleness, Duration::from_secs(60)).await
    }

    pub(crate) async fn start_with_grace(
        url: &str,
        name: &str,
        max_staleness: Duration,
        grace: Duration,
    ) -> Self {
        let [max_staleness, grace] =
            [max_staleness, grace].map(|time| time.as_millis().to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_instance"))
            .args([url, name, &max_staleness, &grace])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let commands = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut instance = Self { child, commands, answers };
        assert_eq!(instance.answer().await, "ready");
        instance
    }

    pub(crate) async fn verify(&mut self, key: &str) -> String {
        self.command(&format!("verify {key}")).await;
        self.answer().await
    }

    pub(crate) async fn command(&mut self, command: &str) {
        let line = format!("{command}\n");
        self.commands.write_all(line.as_bytes()).await.expect("it reads");
    }

    pub(crate) async fn answer(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.answers.next_line()).await;
        line.expect("in time").expect("its output").expect("a line")
    }

    /// Verifies a key so many times a second.
    pub(crate) async fn hammer(&mut self, rate: u32, key: &str) {
        self.command(&format!("hammer {rate} {key}")).await;
    }

    /// Ends that, and says what came of it.
    pub(crate) async fn hammered(&mut self) -> Hammered {
        self.command("").await;
        let answer = self.answer().await;
        let numbers: Vec<u64> =
            answer.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [first_refused, last_admitted, last, count] = numbers[..] else {
            unreachable!("{answer}")
        };
        let [first_refused, last_admitted, last] =
            [first_refused, last_admitted, last].map(Duration::from_micros);
        Hammered { first_refused, last_admitted, last, count }
    }

    /// Waits until a key is judged so.
    pub(crate) async fn wait_for(&mut self, key: &str, verdict: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.verify(key).await;
            if found == verdict {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{found}, not {verdict}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.expect("kill can be run").success());
    }

    /// Ends it in order.
    pub(crate) async fn end(mut self) {
        drop(self.commands);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.expect("in time").expect("its status").success());
    }
}
