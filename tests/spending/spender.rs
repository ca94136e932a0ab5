//! A process that spends: `src/bin/spender.rs`.

use std::path::Path;
use std::process::Stdio;

use keyauth_core::IssuedKey;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::PATIENCE;

pub(crate) struct Spender {
    pub(crate) process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What it says at the end.
#[derive(Debug)]
pub(crate) struct Spent {
    /// In fractions.
    pub(crate) counted: i64,
    pub(crate) refused: usize,
    pub(crate) unanswered: usize,
    /// How many calls there were.
    pub(crate) opened: usize,
}

impl Spender {
    pub(crate) async fn start(store: &str, key: &IssuedKey, calls: usize, spool: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spender"));
        command.args([store, &calls.to_string()]).arg(spool);
        Self::run(command, key).await
    }

    /// The same, where no file grows beyond so many kilobytes, as if the disk were full then.
    pub(crate) async fn start_on_a_full_disk(
        store: &str,
        key: &IssuedKey,
        calls: usize,
        spool: &Path,
        kilobytes: u32,
    ) -> Self {
        let mut command = Command::new("bash");
        // Told by an error, and not by a signal that kills.
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_spender"), store, &calls.to_string()]);
        command.arg(spool);
        Self::run(command, key).await
    }

    async fn run(mut command: Command, key: &IssuedKey) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut input = process.stdin.take().expect("its input");
        let line = format!("{}\n", key.reveal());
        input.write_all(line.as_bytes()).await.expect("told");
        Self { process, lines }
    }

    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("in time");
        line.expect("its output").expect("a line")
    }

    /// What its last line says.
    pub(crate) async fn spent(&mut self) -> Spent {
        let line = self.line().await;
        let numbers: Vec<i64> = line.split(' ').map_while(|text| text.parse().ok()).collect();
        let [counted, refused, unanswered, opened] = numbers.try_into().expect("four numbers");
        let count = |number| usize::try_from(number).expect("a count");
        Spent {
            counted,
            refused: count(refused),
            unanswered: count(unanswered),
            opened: count(opened),
        }
    }
}
