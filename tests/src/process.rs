//! Programs of ours, run as users run them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a program may take to say what it is expected to.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program, killed with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has printed so far.
    pub printed: String,
}

impl Running {
    /// Starts a program in a folder, with variables.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    #[must_use]
    pub fn start(program: &str, folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_with(program, &[], folder, variables)
    }

    /// The same with arguments.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    #[must_use]
    pub fn start_with(
        program: &str,
        arguments: &[&str],
        folder: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::start_told(program, arguments, folder, variables, Stdio::inherit())
    }

    /// The same, and whom it tells of errors.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    #[must_use]
    pub fn start_told(
        program: &str,
        arguments: &[&str],
        folder: &Path,
        variables: &[(&str, &str)],
        errors: impl Into<Stdio>,
    ) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env_remove("PORT")
            .env_remove("KEYAUTH_DB")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines, printed: String::new() }
    }

    /// Reads on to a line that contains a text, and gives the line.
    ///
    /// # Panics
    ///
    /// Where the program ends or a minute goes by without one.
    pub async fn line_with(&mut self, text: &str) -> String {
        let reading = async {
            while let Some(line) = self.lines.next_line().await.expect("its output") {
                self.printed.push_str(&line);
                self.printed.push('\n');
                if line.contains(text) {
                    return line;
                }
            }
            panic!("the program ended without {text:?}:\n{}", self.printed)
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("in time")
    }

    /// Sends it a signal: `-STOP` freezes it, `-CONT` lets it go on, `-KILL` ends it.
    ///
    /// # Panics
    ///
    /// Where it does not run.
    pub async fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.expect("kill can be run").success());
    }

    /// Which process it is.
    ///
    /// # Panics
    ///
    /// Where it does not run.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits for its end, after a signal that ends it.
    ///
    /// # Panics
    ///
    /// Where it goes on for a minute.
    pub async fn ended(mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let _ = ended.expect("in time").expect("its status");
    }

    /// Asks it to stop, as a process manager does, and says whether it ended well.
    ///
    /// # Panics
    ///
    /// Where it goes on for a minute.
    pub async fn terminate(mut self) -> bool {
        self.signal("-TERM").await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("in time").expect("its status").success()
    }
}
