//! Identifiers of tenants, owners, groups, keys and secrets.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

/// The longest text identifier, in bytes.
const MAX_LEN: usize = 128;

/// A text was no identifier: empty, longer than 128 bytes, or not printable ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be 1 to 128 printable ASCII characters without spaces")
    }
}

impl std::error::Error for InvalidId {}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 128 printable ASCII characters without spaces, compared byte for byte. That
        /// keeps line breaks and terminal sequences out of every log that names one.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that keeps the rules above.
            ///
            /// # Errors
            ///
            /// [`InvalidId`] where it does not.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
                if text.is_empty() || text.len() > MAX_LEN || !printable {
                    return Err(InvalidId);
                }
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}

text_id! {
    /// Names a tenant: a customer of the service, with owners, groups and keys of its own.
    TenantId
}
text_id! {
    /// Names an owner within its tenant: the person or service a key speaks for.
    OwnerId
}
text_id! {
    /// Names a group within its tenant: a plan, a team, a set of rules keys are bound to.
    GroupId
}

text_id! {
    /// Names whoever asks for a change, in the words of the application: a person, a key, a job.
    Actor
}

text_id! {
    /// Names a charge: by itself, or by what the application calls what is charged, so that it is
    /// charged once however often that is tried.
    ChargeId
}

impl ChargeId {
    /// A name that nobody else has made, for something charged at `now`: a UUID of version 7 (RFC
    /// 9562 section 5.7).
    ///
    /// # Errors
    ///
    /// Where the operating system gives no randomness.
    pub fn generate(now: Timestamp) -> Result<Self, std::io::Error> {
        Ok(Self(uuid(now).map_err(std::io::Error::other)?.to_string().into()))
    }
}

impl Default for TenantId {
    /// `default`, which exists in every store from the start.
    fn default() -> Self {
        Self("default".into())
    }
}

impl Default for OwnerId {
    /// `default`, the owner of keys issued without naming one.
    fn default() -> Self {
        Self("default".into())
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// A UUID of version 7 (RFC 9562 section 5.7): ordered by creation, random beyond.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier for something created at `now`.
            ///
            /// # Errors
            ///
            /// Where the operating system gives no randomness.
            pub(crate) fn generate(now: Timestamp) -> Result<Self, getrandom::Error> {
                uuid(now).map(Self)
            }

            /// Takes an identifier back from a store.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The sixteen bytes to store, big-endian, so that they sort by creation.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            /// Reads what `Display` writes, and a UUID's other forms.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }
    };
}

fn uuid(now: Timestamp) -> Result<Uuid, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

random_id! {
    /// Names a key for as long as it lives, whatever secrets it goes through.
    KeyId
}
random_id! {
    /// Names one of the secrets of a key. It says nothing about the secret itself.
    SecretId
}

random_id! {
    /// Names a batch of usage events, so that it is written once.
    BatchId
}

impl BatchId {
    /// A name that no other batch has, for one begun at `now`.
    ///
    /// # Errors
    ///
    /// Where the operating system gives no randomness.
    pub fn begun_at(now: Timestamp) -> Result<Self, std::io::Error> {
        Self::generate(now).map_err(std::io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ids_are_printable_and_bounded() {
        for good in ["a", "{}", "a:b", "ada@example.org", &"x".repeat(128)] {
            assert!(OwnerId::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", " ", "a b", "a\n", "\u{1b}[31m", "ü", "\0", &"x".repeat(129)] {
            assert_eq!(OwnerId::new(bad), Err(InvalidId), "{bad:?}");
        }
    }

    #[test]
    fn ids_of_later_keys_sort_behind() {
        let early = KeyId::generate(Timestamp::from_unix_seconds(1)).expect("randomness");
        let late = KeyId::generate(Timestamp::from_unix_seconds(2)).expect("randomness");
        assert!(early < late && early.as_bytes() < late.as_bytes());
        assert_eq!(early.to_string().parse::<KeyId>(), Ok(early));
    }
}
