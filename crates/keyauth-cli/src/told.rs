//! What people are told when something fails.

use std::error::Error;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Why a command was not done, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: String) -> Self {
        Self { code, message }
    }

    /// What was said cannot be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message.into())
    }

    /// It was understood and cannot be, or was not wholly done.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(1, message.into())
    }

    /// Nobody could say.
    pub(crate) fn no_answer(message: impl Into<String>) -> Self {
        Self::new(3, message.into())
    }

    /// A key that was asked about is refused.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(5, message.into())
    }

    /// Whether it is a no, to this and not to whatever comes next.
    pub(crate) const fn is_no(&self) -> bool {
        matches!(self.code, 1 | 2)
    }

    /// Says where it was.
    pub(crate) fn at(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// What is needed is away.
    pub(crate) fn away(message: &str, error: &dyn Error) -> Self {
        Self::new(3, with_causes(message, error))
    }

    /// The schema is older than this program.
    pub(crate) fn unmigrated(message: impl Into<String>) -> Self {
        Self::new(4, message.into())
    }

    pub(crate) fn other(message: &str, error: &dyn Error) -> Self {
        Self::new(1, with_causes(message, error))
    }

    #[expect(clippy::print_stderr, reason = "this is how a program tells")]
    pub(crate) fn tell(&self) -> ExitCode {
        eprintln!("keyauth: {}", self.message);
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Tells people something beside what was asked for, on standard error.
#[expect(clippy::print_stderr, reason = "this is how a program tells")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// Writes on standard output.
pub(crate) fn say(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::other("nothing can be told", &error)),
    }
}

/// An error with its causes, on one line, each once.
fn with_causes(message: &str, error: &dyn Error) -> String {
    let mut text = format!("{message}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
