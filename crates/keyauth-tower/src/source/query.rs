//! Keys in the query: as a source where configured, else as a leak.

use std::borrow::Cow;

use keyauth_core::Keyring;

use super::{Credential, KeySource, KeySources};
use crate::RequestHead;

pub(super) struct Query(String);

impl Query {
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl KeySource for Query {
    fn find<'r>(&self, head: &RequestHead<'r>) -> Credential<'r> {
        let query = head.uri.query().unwrap_or_default();
        let mut values = form_urlencoded::parse(query.as_bytes())
            .filter_map(|(name, value)| (name == self.0).then_some(value));
        match (values.next(), values.next()) {
            (None, _) => Credential::Absent,
            (Some(Cow::Borrowed(value)), None) => {
                Credential::Found(Cow::Borrowed(value.as_bytes()))
            }
            (Some(Cow::Owned(value)), None) => Credential::Found(Cow::Owned(value.into_bytes())),
            (Some(_), Some(_)) => Credential::Repeated,
        }
    }

    fn query_parameter(&self) -> Option<&str> {
        Some(&self.0)
    }
}

/// Whether the query holds a key of ours, anywhere but where a source looks for one (C8).
///
/// Such a key has been written to logs on its way here, and must be treated as leaked.
pub(crate) fn holds_key(query: &str, keyring: &Keyring, sources: &KeySources) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        let wanted = || sources.iter().any(|source| source.query_parameter() == Some(&*name));
        keyring.finds_in(name.as_bytes()) || (keyring.finds_in(value.as_bytes()) && !wanted())
    })
}
