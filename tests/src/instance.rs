//! A process that serves: `src/bin/instance.rs`.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// When requests began, by the machine's uptime, and how many there were.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Hammered {
    /// The first that was refused.
    pub first_refused: Duration,
    /// The last that was let through.
    pub last_admitted: Duration,
    /// The last of all.
    pub last: Duration,
    /// How many there were.
    pub count: u64,
}

/// A running `instance`, killed with this value.
#[derive(Debug)]
pub struct Instance {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Instance {
    /// One that serves for a minute when it is cut off.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn start(program: &str, url: &str, name: &str, max_staleness: Duration) -> Self {
        Self::start_with_grace(program, url, name, max_staleness, Duration::from_secs(60)).await
    }

    /// One that serves for so long when it is cut off.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn start_with_grace(
        program: &str,
        url: &str,
        name: &str,
        max_staleness: Duration,
        grace: Duration,
    ) -> Self {
        let [max_staleness, grace] =
            [max_staleness, grace].map(|time| time.as_millis().to_string());
        let mut child = Command::new(program)
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

    /// How a key is judged.
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    pub async fn verify(&mut self, key: &str) -> String {
        self.command(&format!("verify {key}")).await;
        self.answer().await
    }

    /// Has it do something.
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    pub async fn command(&mut self, command: &str) {
        let line = format!("{command}\n");
        self.commands.write_all(line.as_bytes()).await.expect("it reads");
    }

    /// What it says next.
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    pub async fn answer(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.answers.next_line()).await;
        line.expect("in time").expect("its output").expect("a line")
    }

    /// Verifies a key so many times a second.
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    pub async fn hammer(&mut self, rate: u32, key: &str) {
        self.command(&format!("hammer {rate} {key}")).await;
    }

    /// Ends that, and says what came of it.
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    pub async fn hammered(&mut self) -> Hammered {
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
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    pub async fn wait_for(&mut self, key: &str, verdict: &str) {
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

    /// Sends it a signal, like `-STOP`.
    ///
    /// # Panics
    ///
    /// Where it does not run.
    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.expect("kill can be run").success());
    }

    /// Ends it in order.
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    pub async fn end(mut self) {
        drop(self.commands);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.expect("in time").expect("its status").success());
    }
}
