//! Errors: where there is no answer, or the question was wrong.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::{InvalidInput, KeyId, Problem};

type Source = Box<dyn Error + Send + Sync>;

/// A lookup got no answer. It says nothing about the key, and is never told as "no".
#[derive(Debug)]
pub struct LookupError {
    kind: LookupErrorKind,
    source: Option<Source>,
}

/// Why a lookup got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LookupErrorKind {
    /// The store could not be asked, did not answer in time, or answered nonsense.
    Unavailable,
    /// More lookups wait than are worth waiting for.
    Overloaded,
}

impl LookupErrorKind {
    /// The stable name that programs branch on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
        }
    }
}

impl LookupError {
    /// The store could not be asked, because of `source`.
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self { kind: LookupErrorKind::Unavailable, source: Some(source.into()) }
    }

    /// More lookups wait than are worth waiting for.
    #[must_use]
    pub const fn overloaded() -> Self {
        Self { kind: LookupErrorKind::Overloaded, source: None }
    }

    /// What to branch on.
    #[must_use]
    pub const fn kind(&self) -> LookupErrorKind {
        self.kind
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            LookupErrorKind::Unavailable => "the key store gave no answer",
            LookupErrorKind::Overloaded => "too many key lookups are waiting",
        })
    }
}

impl Error for LookupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// A store did not do what it was asked to. Nothing was done in part.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<Source>,
}

/// Why a store did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// What is named is not there, or not in this tenant, which is told alike.
    NotFound,
    /// Keys are bound to the group that is to be deleted.
    InUse {
        /// How many, revoked ones aside.
        keys: u64,
    },
    /// The custom key is in use already.
    ///
    /// Whoever may try custom keys freely learns so which exist, so stores let an owner do that
    /// twenty times an hour.
    Taken,
    /// The owner has chosen custom keys that are in use too often; see
    /// [`CustomKeyGuesses`](crate::CustomKeyGuesses). It says nothing about the one that was chosen.
    TooManyGuesses {
        /// When it may choose again.
        retry_after: Duration,
    },
    /// The owner has as many keys as it [may](crate::Owner::max_keys), revoked ones aside.
    TooManyKeys {
        /// How many that are.
        most: u32,
    },
    /// The same request was done before: see [`CreateOnce`](crate::CreateOnce). Nothing was done now,
    /// and what was made then cannot be shown again.
    Repeated {
        /// The key that it is about.
        key: KeyId,
    },
    /// Another request has the same name: see [`CreateOnce`](crate::CreateOnce).
    RequestNameTaken,
    /// The key is revoked, which nothing undoes.
    Revoked,
    /// The request itself is wrong; each problem names its field.
    InvalidInput(InvalidInput),
    /// The store could not be asked, did not answer in time, or answered nonsense.
    ///
    /// The change may or may not have been made. To change or revoke a key again is safe.
    /// After issuing or rotating, look first: what was made then is a key that nobody
    /// holds, to be revoked, or a secret that nobody holds, whose grace a second rotation
    /// would hand to it instead of to the one in use.
    Unavailable,
}

impl StoreError {
    /// The store could not be asked, because of `source`.
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self { kind: StoreErrorKind::Unavailable, source: Some(source.into()) }
    }

    /// What a field of the input names is not there.
    #[must_use]
    pub fn missing(field: &str) -> Self {
        InvalidInput::from(Problem::new(field, "does not exist")).into()
    }

    /// What to branch on.
    #[must_use]
    pub const fn kind(&self) -> &StoreErrorKind {
        &self.kind
    }
}

impl From<StoreErrorKind> for StoreError {
    fn from(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<InvalidInput> for StoreError {
    fn from(input: InvalidInput) -> Self {
        StoreErrorKind::InvalidInput(input).into()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StoreErrorKind::NotFound => f.write_str("not found"),
            StoreErrorKind::InUse { keys } => write!(
                f,
                "{keys} keys are bound to the group; bind them to another, or ask for them to be \
                 detached"
            ),
            StoreErrorKind::Taken => f.write_str("the custom key is in use already"),
            StoreErrorKind::TooManyGuesses { retry_after } => write!(
                f,
                "too many custom keys were chosen that are in use; again in {} seconds",
                retry_after.as_secs().saturating_add(1)
            ),
            StoreErrorKind::TooManyKeys { most } => {
                write!(f, "the owner has {most} keys, as many as it may; revoke one first")
            }
            StoreErrorKind::Repeated { key } => {
                write!(f, "the same request was done before, and is about key {key}")
            }
            StoreErrorKind::RequestNameTaken => f.write_str("another request has the same name"),
            StoreErrorKind::Revoked => f.write_str("the key is revoked"),
            StoreErrorKind::InvalidInput(input) => input.fmt(f),
            StoreErrorKind::Unavailable => f.write_str("the key store gave no answer"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
