//! A key in a header of its own.

use std::borrow::Cow;

use http::header::HeaderName;

use super::{Credential, KeySource};
use crate::RequestHead;

pub(super) struct Header(HeaderName);

impl Header {
    #[expect(clippy::expect_used, reason = "a name in the program's text, as documented")]
    pub(super) fn new(name: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        Self(name.expect("a source must have a valid header name"))
    }
}

impl KeySource for Header {
    fn find<'r>(&self, head: &RequestHead<'r>) -> Credential<'r> {
        let mut values = head.headers.get_all(&self.0).iter();
        match (values.next(), values.next()) {
            (None, _) => Credential::Absent,
            (Some(value), None) => Credential::Found(Cow::Borrowed(value.as_bytes())),
            (Some(_), Some(_)) => Credential::Repeated,
        }
    }

    fn header(&self) -> Option<&HeaderName> {
        Some(&self.0)
    }
}
