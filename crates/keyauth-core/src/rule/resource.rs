//! Which resources a key may use.

use serde::{Deserialize, Serialize};

/// The longest pattern, in bytes.
const MAX_LEN: usize = 256;

/// The resources a key may use, by name: models, buckets, projects.
///
/// No pattern means all. A pattern is a name, or the beginning of names followed by `*`,
/// like `gpt-4*`. Names are compared byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceRules(Box<[String]>);

impl ResourceRules {
    /// Reads one pattern: 1 to 256 bytes without control characters, `*` only at the end.
    ///
    /// # Errors
    ///
    /// What is wrong with it, to put behind the name of a field.
    pub fn check_pattern(text: &str) -> Result<(), &'static str> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err("must have 1 to 256 bytes");
        }
        if text.chars().any(char::is_control) {
            return Err("must not have control characters");
        }
        if text.find('*').is_some_and(|at| at + 1 < text.len()) {
            return Err("may have `*` at the end only");
        }
        Ok(())
    }

    /// Takes patterns back from a store.
    ///
    /// One that [`check_pattern`](Self::check_pattern) would refuse is kept, and allows
    /// only a resource of that very name.
    #[must_use]
    pub fn from_stored(patterns: Vec<String>) -> Self {
        Self(patterns.into())
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a resource may be used.
    #[must_use]
    pub fn admit(&self, resource: &str) -> bool {
        self.is_empty()
            || self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) if !beginning.contains('*') => resource.starts_with(beginning),
                _ => pattern == resource,
            })
    }

    /// The patterns.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_beginnings() {
        let rules = ResourceRules::from_stored(vec!["gpt-4*".into(), "whisper".into()]);
        assert!(rules.admit("gpt-4o") && rules.admit("gpt-4") && rules.admit("whisper"));
        assert!(!rules.admit("gpt-3") && !rules.admit("whisper-2") && !rules.admit("GPT-4"));
        assert!(ResourceRules::default().admit("anything"));
        assert!(!ResourceRules::from_stored(vec!["a*b*".into()]).admit("a*bc"));
        for bad in ["", "a*b", "**", "a\n", "a\0"] {
            assert!(ResourceRules::check_pattern(bad).is_err(), "{bad:?}");
        }
    }
}
