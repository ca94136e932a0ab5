//! `Authorization: Bearer`.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, HeaderName};

use super::{Credential, KeySource};
use crate::RequestHead;
use crate::token::is_token_character;

/// The bearer token of RFC 6750, in the credentials of RFC 9110 section 11.4.
pub(super) struct Bearer;

impl KeySource for Bearer {
    fn find<'r>(&self, head: &RequestHead<'r>) -> Credential<'r> {
        let mut values = head.headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Credential::Absent,
            (Some(value), None) => token(value.as_bytes()),
            (Some(_), Some(_)) => Credential::Repeated,
        }
    }

    fn header(&self) -> Option<&HeaderName> {
        Some(&AUTHORIZATION)
    }
}

/// The token of a bearer credential; another scheme is somebody else's.
fn token(credentials: &[u8]) -> Credential<'_> {
    const SCHEME: &[u8] = b"bearer";
    let Some((scheme, rest)) = credentials.split_at_checked(SCHEME.len()) else {
        return Credential::Absent;
    };
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Credential::Absent;
    }
    match rest.first() {
        // One or more spaces part scheme and token, and nothing else does.
        Some(b' ') => {
            let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
            Credential::Found(Cow::Borrowed(rest.get(spaces..).unwrap_or_default()))
        }
        // The scheme is a longer word, and somebody else's.
        Some(byte) if is_token_character(*byte) => Credential::Absent,
        Some(_) | None => Credential::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(credentials: &str, expected: Option<&str>) {
        let found = match token(credentials.as_bytes()) {
            Credential::Found(token) => String::from_utf8(token.into_owned()).ok(),
            Credential::Unreadable => Some("unreadable".to_owned()),
            Credential::Absent | Credential::Repeated => None,
        };
        assert_eq!(found.as_deref(), expected, "{credentials:?}");
    }

    #[test]
    fn schemes_and_separators() {
        // C2, C3
        check("Bearer key", Some("key"));
        check("bEaReR key", Some("key"));
        check("Bearer   key", Some("key"));
        check("Bearer a b", Some("a b"));
        check("Bearer ", Some(""));
        check("Bearer", Some("unreadable"));
        check("Bearer \tkey", Some("\tkey"));
        check("Bearer\tkey", Some("unreadable"));
        check("Bearer\u{a0}key", Some("unreadable"));
        check("Bearer\u{b}key", Some("unreadable"));
        check("Bearer\u{2003}key", Some("unreadable"));
        check("Bearer:key", Some("unreadable"));
        check("Basic x", None);
        check("Bearerx key", None);
        check("Bear", None);
        check("", None);
    }
}
