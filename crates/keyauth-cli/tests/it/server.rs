//! A running `keyauth serve`.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
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
    command.current_dir(folder).args(arguments);
    // Settings of whoever runs the tests are not meant.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KEYAUTH_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // One that reads nothing has ended before.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    // It must not wait for somebody who reads what it says.
    let [out, err] = [
        reading(child.stdout.take().expect("a pipe")),
        reading(child.stderr.take().expect("a pipe")),
    ];
    // One that serves where it should have refused must not be waited for.
    for _ in 0..600 {
        if let Some(status) = child.try_wait().expect("its status") {
            let [stdout, stderr] = [out, err].map(|said| said.join().expect("what it says"));
            return Output { status, stdout, stderr };
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    panic!("{arguments:?} goes on");
}

fn reading(mut said: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        said.read_to_end(&mut all).expect("what it says");
        all
    })
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
        Self::listening(Running::start_with(PROGRAM, &arguments, folder, variables)).await
    }

    async fn listening(mut running: Running) -> Self {
        let line = running.line_with("listening on http://").await;
        let address = line.trim_start_matches("listening on http://").to_owned();
        Self { running, address }
    }

    /// The same, where no more than so many files may be open.
    pub(crate) async fn start_with_files(folder: &Path, files: u32) -> Self {
        let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\" 2>log");
        let arguments = ["-c", &limited, PROGRAM, "serve", "--listen", "127.0.0.1:0"];
        Self::listening(Running::start_with("sh", &arguments, folder, &[])).await
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        let bearer = format!("Authorization: Bearer {key}");
        call(&self.address, "GET", path, &[&bearer]).await
    }
}
