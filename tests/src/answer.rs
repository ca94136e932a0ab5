//! What a service answered.

use serde_json::Value;

/// An answer, whatever protocol it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, whatever is no UTF-8 replaced.
    pub body: String,
}

impl Answer {
    /// Reads an HTTP/1.1 answer that ended with its connection.
    ///
    /// # Panics
    ///
    /// Where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.parse().expect("a status"),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter(|(have, _)| have == name);
        headers.next().map(|(_, value)| value.as_str())
    }

    /// The `code` of a refusal; empty where the body is none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body.get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Asserts a refusal: its status, its code, and what every refusal must have.
    ///
    /// # Panics
    ///
    /// Where it is another answer.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(
            self.header("www-authenticate").is_some(),
            status == 401 || code == "scope_denied"
        );
    }

    /// Asserts that a service which tells its caller's owner was reached by this owner.
    ///
    /// # Panics
    ///
    /// Where it is another answer.
    #[track_caller]
    pub fn assert_reached_by(&self, owner: &str) {
        assert_eq!((self.status, self.body.as_str()), (200, owner), "{self:?}");
    }
}
