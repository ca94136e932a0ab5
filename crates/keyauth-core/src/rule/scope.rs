//! What a key may do, as names that routes ask for.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest scope, in characters.
const MAX_LEN: usize = 128;

/// One permission, like `reports:read`.
///
/// A `scope-token` of RFC 6749 section 3.3: printable ASCII without space, `"` and `\`;
/// here 1 to 128 characters. Compared byte for byte, without wildcards.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Arc<str>);

impl Scope {
    /// Takes a text that keeps the rules above.
    ///
    /// # Errors
    ///
    /// [`InvalidScope`] where it does not.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidScope> {
        let text = text.as_ref();
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.is_empty() || text.len() > MAX_LEN || !text.bytes().all(allowed) {
            return Err(InvalidScope);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.0)
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        Self::new(text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.as_str().to_owned()
    }
}

/// A text was no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidScope;

impl fmt::Display for InvalidScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be 1 to 128 printable ASCII characters without spaces, quotes and backslashes",
        )
    }
}

impl std::error::Error for InvalidScope {}

/// The scopes of a key, sorted and without doubles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Scope>")]
pub struct Scopes(Box<[Scope]>);

impl Scopes {
    /// Whether `scope` is among them.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.binary_search_by(|have| have.as_str().cmp(scope)).is_ok()
    }

    /// Whether all of `scopes` are among them; true for none.
    #[must_use]
    pub fn contains_all(&self, scopes: &[Scope]) -> bool {
        scopes.iter().all(|scope| self.contains(scope.as_str()))
    }

    /// All of them, in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Scope>> for Scopes {
    fn from(mut scopes: Vec<Scope>) -> Self {
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().collect::<Vec<_>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_tokens() {
        for good in ["reports:read", "*", "a", "https://example.org/x"] {
            assert!(Scope::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "a\"", "a\\", "ä", "a\n"] {
            assert_eq!(Scope::new(bad), Err(InvalidScope), "{bad:?}");
        }
    }

    #[test]
    fn a_set_finds_what_it_holds_and_nothing_else() {
        let scopes: Scopes =
            ["b", "a", "b"].iter().map(|text| Scope::new(text).expect("a scope")).collect();
        assert_eq!(scopes.iter().len(), 2);
        assert!(scopes.contains("a") && scopes.contains("b"));
        assert!(!scopes.contains("A") && !scopes.contains("*") && !scopes.contains(""));
        assert!(scopes.contains_all(&[]));
    }
}
