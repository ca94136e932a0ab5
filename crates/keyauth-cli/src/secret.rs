//! Secrets, which are never arguments: others on the machine can see those.

use std::io::{BufRead, IsTerminal};
use std::path::Path;

use zeroize::Zeroizing;

use crate::told::Failure;

/// What a line holds at most.
const LONGEST: usize = 4_096;

/// Asks a person for one, or reads a line of standard input.
pub(crate) fn ask(what: &str) -> Result<Zeroizing<String>, Failure> {
    if let Some(typed) = ask_person(what)? {
        return Ok(typed);
    }
    let mut line = Zeroizing::new(String::with_capacity(LONGEST));
    let mut input = std::io::Read::take(std::io::stdin().lock(), LONGEST as u64);
    input.read_line(&mut line).map_err(|error| unread(what, &error))?;
    one(what, &line)
}

/// Asks for one where a person can answer, and shows nothing of it.
pub(crate) fn ask_person(what: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    tokio::spawn(end_visibly());
    let typed = rpassword::prompt_password(format!("{what}: ")).map(Zeroizing::new);
    one(what, &typed.map_err(|error| unread(what, &error))?).map(Some)
}

/// Whoever is asked and ends the program instead must find the terminal as it was.
async fn end_visibly() {
    /// As a shell says of what was ended by Ctrl-C.
    const ENDED: i32 = 130;

    #[cfg(unix)]
    let before = rustix::termios::tcgetattr(std::io::stdin());
    crate::signal::stop_signal().await;
    #[cfg(unix)]
    if let Ok(before) = before {
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &before);
    }
    std::process::exit(ENDED);
}

fn unread(what: &str, error: &std::io::Error) -> Failure {
    Failure::other(&format!("{what} cannot be read"), error)
}

/// Reads one that is alone in a file.
pub(crate) fn in_file(what: &str, file: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text =
        text.map_err(|error| Failure::usage(format!("{what}: {}: {error}", file.display())))?;
    one(what, &text)
}

fn one(what: &str, text: &str) -> Result<Zeroizing<String>, Failure> {
    let one = text.trim();
    if one.is_empty() {
        return Err(Failure::usage(format!(
            "{what}: nothing was said; it is a line of standard input"
        )));
    }
    Ok(Zeroizing::new(one.to_owned()))
}
