//! What people are told when something fails.

use std::error::Error;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Why a command was not done, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

/// What to branch on, for scripts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    /// This cannot be; something else may.
    Denied,
    Usage,
    NoAnswer,
    Unmigrated,
    /// A key that was asked about is.
    Refused,
}

impl Kind {
    /// The exit code.
    const fn code(self) -> u8 {
        match self {
            Self::Failed | Self::Denied => 1,
            Self::Usage => 2,
            Self::NoAnswer => 3,
            Self::Unmigrated => 4,
            Self::Refused => 5,
        }
    }
}

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// It was understood and cannot be, or was not wholly done.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub(crate) fn other(message: &str, error: &dyn Error) -> Self {
        Self::new(Kind::Failed, with_causes(message, error))
    }

    /// What was asked cannot be, and something else may.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, message)
    }

    /// What was said cannot be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Nobody could say.
    pub(crate) fn no_answer(message: impl Into<String>) -> Self {
        Self::new(Kind::NoAnswer, message)
    }

    /// What is needed is away.
    pub(crate) fn away(message: &str, error: &dyn Error) -> Self {
        Self::new(Kind::NoAnswer, with_causes(message, error))
    }

    /// The schema is older than this program.
    pub(crate) fn unmigrated(message: impl Into<String>) -> Self {
        Self::new(Kind::Unmigrated, message)
    }

    /// A key that was asked about is refused.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// Whether it is a no to what was asked, and not to whatever comes next.
    pub(crate) const fn is_no(&self) -> bool {
        matches!(self.kind, Kind::Denied | Kind::Usage)
    }

    /// Says what else may help, where nobody could say.
    pub(crate) fn or(self, hint: &str) -> Self {
        match self.kind {
            Kind::NoAnswer => Self { message: format!("{} {hint}", self.message), ..self },
            _ => self,
        }
    }

    /// Says where it was.
    pub(crate) fn at(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    pub(crate) fn tell(&self) -> ExitCode {
        if !self.message.is_empty() {
            note(&format!("keyauth: {}", self.message));
        }
        ExitCode::from(self.kind.code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Tells people something beside what was asked for, on standard error, if that can be written to.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes on standard output.
pub(crate) fn say(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Whoever reads has read enough, and knows it.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::failed("")),
        written => written.map_err(|error| Failure::other("nothing can be told", &error)),
    }
}

fn with_causes(message: &str, error: &dyn Error) -> String {
    format!("{message}: {}", causes(error))
}

/// An error with its causes, on one line, each once.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
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
