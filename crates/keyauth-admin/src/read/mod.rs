//! Reading what clients send, strictly: what is unknown, there twice or of another kind is refused
//! with a name, and no value is repeated, since it could be a key.

mod json;
mod query;
mod unique;

use keyauth_core::Problem;
use serde_path_to_error::Path;

pub(crate) use json::Body;
#[cfg(any(test, fuzzing))]
pub(crate) use json::read as body;
#[cfg(any(test, fuzzing))]
pub(crate) use query::one as query;
pub(crate) use query::{NoMore, Query};

/// A name that somebody has made up, for showing it.
fn shown(name: &str) -> String {
    name.chars().filter(|char| !char.is_control()).take(128).collect()
}

/// What is wrong where a value could not be read, in words that go on from the field's name.
fn problem_of(path: &Path, error: &impl ToString) -> Problem {
    let message = error.to_string();
    // The rest tells where in the text, which the path says better.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let path = shown(&path.to_string());
    let within = |name: &str| if path == "." { name.to_owned() } else { format!("{path}.{name}") };
    if let Some(name) = message.strip_prefix("missing field `") {
        return Problem::new(within(name.trim_end_matches('`')), "is required");
    }
    let field = if path == "." { "body" } else { &path };
    if message.starts_with("unknown field") {
        return Problem::new(field, "is unknown");
    }
    match message.rsplit_once("expected ") {
        Some((_, expected)) => Problem::new(field, format!("must be {expected}")),
        None => Problem::new(field, message),
    }
}
