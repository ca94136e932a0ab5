//! Input that was refused, with every reason at once.

use std::fmt;

/// What is wrong with an input, field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidInput {
    problems: Vec<Problem>,
}

impl InvalidInput {
    /// Every problem found, in the order of the fields.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(crate) const fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl From<Problem> for InvalidInput {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid input")?;
        let mut separator = ": ";
        for problem in &self.problems {
            write!(f, "{separator}{problem}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for InvalidInput {}

/// One field and what is wrong with it.
///
/// The value itself is not repeated: it could be a key, or end a log's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    field: String,
    message: String,
}

impl Problem {
    /// A problem of `field`, with a message that goes on from its name.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The field, like `addresses.allow[3]`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong, like `has bits set beyond its prefix length`.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.message)
    }
}
