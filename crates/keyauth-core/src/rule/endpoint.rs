//! Which endpoints a key may call.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::is_ambiguous;

/// The longest rule, in bytes.
const MAX_LEN: usize = 512;

/// Methods and a path, like `GET,HEAD /reports/*` or `/v1/**`.
///
/// The path is compared as the client sent it, segment by segment and byte for byte, just
/// as routers do: `/Admin` is not `/admin`, and `/admin/` is not `/admin`. A segment `*`
/// stands for any one segment that is not empty, a last segment `**` for any number of
/// them. Without methods a rule holds for all; `GET` does not include `HEAD`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointRule {
    text: String,
    /// Where the path begins in `text`; before it and one space stand the methods.
    path_at: usize,
}

impl EndpointRule {
    /// Reads a rule.
    ///
    /// # Errors
    ///
    /// What is wrong with it, to put behind the name of a field.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_LEN {
            return Err("is longer than 512 bytes");
        }
        let (methods, path) = match text.split_once(' ') {
            Some((methods, path)) => (Some(methods), path),
            None => (None, text),
        };
        let is_method = |method: &str| {
            !method.is_empty()
                && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        };
        if !methods.is_none_or(|methods| methods.split(',').all(is_method)) {
            return Err("must begin with a path, or with methods in upper case like `GET,POST`");
        }
        if is_ambiguous(path) || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must have a path that begins with a slash and is not ambiguous");
        }
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let wild = segment == "*" || (segment == "**" && segments.peek().is_none());
            if segment.contains('*') && !wild {
                return Err("may have `*` as a whole segment and `**` as the last one only");
            }
        }
        Ok(Self { text: text.to_owned(), path_at: text.len() - path.len() })
    }

    /// Whether a call of `method` on `path` is what the rule names.
    #[must_use]
    pub fn matches(&self, method: &str, path: &str) -> bool {
        let (methods, pattern) = self.text.split_at_checked(self.path_at).unwrap_or_default();
        let methods = methods.trim_end();
        if !methods.is_empty() && !methods.split(',').any(|allowed| allowed == method) {
            return false;
        }
        let mut segments = path.split('/');
        for wanted in pattern.split('/') {
            if wanted == "**" {
                return true;
            }
            match segments.next() {
                Some(segment) if wanted == segment || (wanted == "*" && !segment.is_empty()) => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    /// The rule as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for EndpointRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointRule({})", self.text)
    }
}

impl TryFrom<String> for EndpointRule {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::parse(&text)
    }
}

impl From<EndpointRule> for String {
    fn from(rule: EndpointRule) -> Self {
        rule.text
    }
}

/// The endpoints a key may call: all where there is no rule, else those a rule names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct EndpointRules(
    /// Behind a pointer, since most keys have none: a record is to be small.
    Option<Box<Rules>>,
);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    readable: Vec<EndpointRule>,
    unreadable: Vec<String>,
}

impl EndpointRules {
    /// Whether there is no rule, not even one that cannot be read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a call is allowed.
    #[must_use]
    pub fn admit(&self, method: &str, path: &str) -> bool {
        self.is_empty() || self.names(method, path)
    }

    /// Whether a rule names this call, rather than there being no rule at all.
    #[must_use]
    pub fn names(&self, method: &str, path: &str) -> bool {
        let rules = self.0.iter().flat_map(|rules| &rules.readable);
        rules.into_iter().any(|rule| rule.matches(method, path))
    }

    /// The rules as texts, those that cannot be read included.
    #[must_use]
    pub fn to_texts(&self) -> Vec<String> {
        let Some(Rules { readable, unreadable }) = self.0.as_deref() else { return Vec::new() };
        let readable = readable.iter().map(|rule| rule.text.clone());
        readable.chain(unreadable.iter().cloned()).collect()
    }
}

impl From<Rules> for EndpointRules {
    fn from(rules: Rules) -> Self {
        let empty = rules.readable.is_empty() && rules.unreadable.is_empty();
        Self((!empty).then(|| Box::new(rules)))
    }
}

impl From<Vec<EndpointRule>> for EndpointRules {
    fn from(readable: Vec<EndpointRule>) -> Self {
        Rules { readable, unreadable: Vec::new() }.into()
    }
}

impl From<Vec<String>> for EndpointRules {
    fn from(texts: Vec<String>) -> Self {
        let mut rules = Rules::default();
        for text in texts {
            match EndpointRule::parse(&text) {
                Ok(rule) => rules.readable.push(rule),
                Err(_) => rules.unreadable.push(text),
            }
        }
        rules.into()
    }
}

impl From<EndpointRules> for Vec<String> {
    fn from(rules: EndpointRules) -> Self {
        rules.to_texts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, method: &str, path: &str, matches: bool) {
        let parsed = EndpointRule::parse(rule).expect("a rule");
        assert_eq!(parsed.matches(method, path), matches, "{rule} against {method} {path}");
    }

    #[test]
    fn rules_see_what_routers_match() {
        check("/admin", "GET", "/admin", true);
        check("/admin", "BREW", "/admin", true);
        check("/admin", "GET", "/ADMIN", false); // A9
        check("/admin", "GET", "/admin/", false);
        check("/admin/", "GET", "/admin", false);
        check("GET /admin", "HEAD", "/admin", false);
        check("GET,HEAD /admin", "HEAD", "/admin", true);
        check("GET /admin", "get", "/admin", false);
        check("/reports/*", "GET", "/reports/7", true);
        check("/reports/*", "GET", "/reports/", false);
        check("/reports/*", "GET", "/reports/7/8", false);
        check("/v1/**", "GET", "/v1/a/b", true);
        check("/v1/**", "GET", "/v1/", true);
        check("/v1/**", "GET", "/v1", true);
        check("/v1/**", "GET", "/v10", false);
        check("/**", "GET", "/", true);
        check("/*/x", "GET", "/a/x", true);
        check("/", "GET", "/", true);
    }

    #[test]
    fn doubtful_rules_are_refused() {
        for bad in [
            "",
            "admin",
            "get /admin",
            "GET  /admin",
            " /admin",
            "GET, /x",
            "/a//b",
            "/a/../b",
            "/a*",
            "/**/a",
            "/a/***",
            "/%2e",
            "/ä",
            "GET",
            "/a b",
        ] {
            assert!(EndpointRule::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn unreadable_rows_allow_nothing() {
        assert!(EndpointRules::default().admit("GET", "/x"));
        assert!(!EndpointRules::from(vec!["nonsense".to_owned()]).admit("GET", "/x"));
    }
}
