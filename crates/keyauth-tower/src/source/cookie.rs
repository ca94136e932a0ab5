//! A key in a cookie.

use std::borrow::Cow;

use http::header::{COOKIE, HeaderName};

use super::{Credential, KeySource};
use crate::RequestHead;

pub(super) struct Cookie(String);

impl Cookie {
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl KeySource for Cookie {
    fn find<'r>(&self, head: &RequestHead<'r>) -> Credential<'r> {
        // HTTP/2 may split the header into several (RFC 9113 section 8.2.3).
        let lines = head.headers.get_all(COOKIE).iter().map(|line| line.as_bytes());
        let pairs = lines.flat_map(|line| line.split(|&byte| byte == b';'));
        let mut values = pairs.filter_map(|pair| {
            let pair = pair.trim_ascii_start();
            pair.strip_prefix(self.0.as_bytes())?.strip_prefix(b"=")
        });
        match (values.next(), values.next()) {
            (None, _) => Credential::Absent,
            (Some(value), None) => Credential::Found(Cow::Borrowed(unquoted(value))),
            (Some(_), Some(_)) => Credential::Repeated,
        }
    }

    fn header(&self) -> Option<&HeaderName> {
        Some(&COOKIE)
    }
}

/// A cookie's value may stand in double quotes (RFC 6265 section 4.1.1).
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}
