//! A running `keyauth serve`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use keyauth_tests::{Answer, Running, call};

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyauth");

/// What a run of `keyauth` to its end says.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    run_with(folder, arguments, &[], "")
}

/// The same with variables of the environment, and with something on its standard input.
pub(crate) fn run_with(
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
    input: &str,
) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(arguments).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // One that reads nothing has ended before.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    // One that serves where it should have refused must not be waited for.
    for _ in 0..600 {
        if child.try_wait().expect("its status").is_some() {
            return child.wait_with_output().expect("what it says");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    panic!("{arguments:?} goes on");
}

pub(crate) struct Server {
    pub(crate) running: Running,
    address: String,
}

impl Server {
    /// Starts it on a free port, and waits until it listens.
    pub(crate) async fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[]).await
    }

    /// The same with variables of the environment.
    pub(crate) async fn start_with(
        folder: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut running = Running::start_with(PROGRAM, &arguments, folder, variables);
        let line = running.line_with("listening on http://").await;
        let address = line.trim_start_matches("listening on http://").to_owned();
        Self { running, address }
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        let bearer = format!("Authorization: Bearer {key}");
        call(&self.address, "GET", path, &[&bearer]).await
    }
}
