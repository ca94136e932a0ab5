//! Finding keys among many.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{GroupId, InvalidInput, Key, KeyId, KeyStatus, OwnerId, Problem, TenantId, Timestamp};

/// Which of a tenant's keys to read, and in which order. Deleted ones are not among them.
///
/// # Example
///
/// ```
/// use keyauth_core::{KeyOrder, KeyQuery, TenantId};
///
/// let begins_with = KeyOrder::Name { prefix: "nightly ".to_owned() };
/// let query = KeyQuery::first(TenantId::default(), 100).in_order(begins_with);
/// assert!(query.check().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct KeyQuery {
    /// Whose keys.
    pub tenant: TenantId,
    /// Only those of this owner.
    pub owner: Option<OwnerId>,
    /// Only those bound to this group.
    pub group: Option<GroupId>,
    /// Only those of this status.
    pub status: Option<KeyStatus>,
    /// In which order, and which of them.
    pub order: KeyOrder,
    /// Only those behind this one.
    pub after: Option<KeyPosition>,
    /// At most so many.
    pub count: u16,
}

/// In which order keys are read. Each has an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyOrder {
    /// As they were issued.
    #[default]
    Oldest,
    /// The last issued first.
    Newest,
    /// By name, byte for byte: those whose name begins so.
    Name {
        /// Empty for all.
        prefix: String,
    },
    /// By what may be shown of the newest secret: those for which that begins so.
    Hint {
        /// Empty for all.
        prefix: String,
    },
    /// The first to expire first. Those that never do are not among them.
    Expiry,
}

/// A place in an order of keys: behind one of them, whether that is still there or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyPosition {
    /// In order of issue, either way.
    Issued(KeyId),
    /// In order of name or hint.
    Text(Arc<str>, KeyId),
    /// In order of expiry.
    Expiry(Timestamp, KeyId),
}

impl KeyQuery {
    /// The first `count` keys of a tenant.
    #[must_use]
    pub const fn first(tenant: TenantId, count: u16) -> Self {
        let order = KeyOrder::Oldest;
        Self { tenant, owner: None, group: None, status: None, order, after: None, count }
    }

    /// Reads in another order than that of issue.
    #[must_use]
    pub fn in_order(self, order: KeyOrder) -> Self {
        Self { order, ..self }
    }

    /// The keys behind the last one read.
    #[must_use]
    pub fn after(self, last: &Key) -> Self {
        // What has no place in the order is behind all that have one.
        let end = KeyPosition::Expiry(Timestamp::MAX, last.id);
        Self { after: Some(self.order.position(last).unwrap_or(end)), ..self }
    }

    /// Whether it can be answered without reading more than is asked for: for stores.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`], where keys of an owner, a group or a status are asked for in another
    /// order than that of issue, or behind a place that is not in it, or where a beginning is
    /// longer than 256 bytes or has control characters, as no name has.
    pub fn check(&self) -> Result<(), InvalidInput> {
        let issued = matches!(self.order, KeyOrder::Oldest | KeyOrder::Newest);
        let narrowed = self.owner.is_some() || self.group.is_some() || self.status.is_some();
        if narrowed && !issued {
            let message = "must be that of issue where keys of one owner, group or status are read";
            return Err(Problem::new("order", message).into());
        }
        let prefix = match &self.order {
            KeyOrder::Name { prefix } | KeyOrder::Hint { prefix } => prefix,
            KeyOrder::Oldest | KeyOrder::Newest | KeyOrder::Expiry => "",
        };
        if prefix.len() > 256 || prefix.chars().any(char::is_control) {
            let message = "must have at most 256 bytes and no control characters";
            return Err(Problem::new("prefix", message).into());
        }
        let fits = match &self.after {
            None => true,
            Some(KeyPosition::Issued(_)) => issued,
            Some(KeyPosition::Text(text, _)) => {
                // Stores begin there, and not with the prefix.
                matches!(self.order, KeyOrder::Name { .. } | KeyOrder::Hint { .. })
                    && text.starts_with(prefix)
                    && !text.contains('\0')
            }
            // Databases know no times of long ago.
            Some(KeyPosition::Expiry(end, _)) => {
                self.order == KeyOrder::Expiry && end.as_micros() >= 0
            }
        };
        if fits { Ok(()) } else { Err(Problem::new("after", "is no place in this order").into()) }
    }
}

impl KeyOrder {
    /// Where a key stands; nowhere, where it never expires and that is the order.
    #[must_use]
    pub fn position(&self, key: &Key) -> Option<KeyPosition> {
        match self {
            Self::Oldest | Self::Newest => Some(KeyPosition::Issued(key.id)),
            Self::Name { .. } => Some(KeyPosition::Text(Arc::clone(&key.name), key.id)),
            Self::Hint { .. } => Some(KeyPosition::Text(key.hint.as_str().into(), key.id)),
            Self::Expiry => key.expires_at.map(|end| KeyPosition::Expiry(end, key.id)),
        }
    }

    /// The first text behind all that begin with `prefix`, byte for byte, for stores; none where
    /// there is no such.
    #[must_use]
    pub fn end_of(prefix: &str) -> Option<String> {
        let mut end = prefix.to_owned();
        while let Some(last) = end.pop() {
            // Surrogates are no characters, and the next one is behind them.
            let next = if last == '\u{D7FF}' {
                Some('\u{E000}')
            } else {
                char::from_u32(u32::from(last) + 1)
            };
            if let Some(next) = next {
                end.push(next);
                return Some(end);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_prefix_is_below_its_end() {
        for (prefix, end) in [
            ("", None),
            ("a", Some("b")),
            ("a%", Some("a&")),
            ("a\u{10FFFF}", Some("b")),
            ("\u{10FFFF}", None),
            ("x\u{D7FF}", Some("x\u{E000}")),
            ("~", Some("\u{7F}")),
            ("\u{7F}", Some("\u{80}")),
        ] {
            assert_eq!(KeyOrder::end_of(prefix).as_deref(), end, "{prefix:?}");
            let longer = format!("{prefix}\u{10FFFF}z");
            assert!(end.is_none_or(|end| longer.as_str() < end && prefix < end), "{prefix:?}");
        }
    }
}
