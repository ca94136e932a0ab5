//! What applications want to know of a key.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// The largest metadata, in bytes of JSON.
const MAX_BYTES: usize = 16 * 1024;
/// The deepest metadata, in nested arrays and objects.
const MAX_DEPTH: usize = 16;

/// A JSON object that keyauth stores, hands to the service and never reads.
///
/// At most 16 KiB of JSON, 16 levels deep, without NUL characters (which PostgreSQL's
/// `jsonb` cannot hold).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub struct Metadata(
    /// Behind a pointer, and not there at all where it is empty, as it is for most keys.
    Option<Box<Map<String, Value>>>,
);

impl Metadata {
    /// The value under a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_map().get(name)
    }

    /// All of it.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.0.as_deref().unwrap_or_else(|| &EMPTY)
    }

    pub(crate) fn insert(&mut self, name: String, value: Value) {
        self.0.get_or_insert_default().insert(name, value);
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        // The depth first: everything after it recurses.
        let map = self.as_map();
        if !map.values().all(|value| is_shallow(value, MAX_DEPTH - 1)) {
            return Some("is nested deeper than 16 levels");
        }
        if !map.iter().all(|(name, value)| !name.contains('\0') && is_free_of_nul(value)) {
            return Some("must not have NUL characters");
        }
        let bytes = serde_json::to_vec(map).map_or(usize::MAX, |json| json.len());
        (bytes > MAX_BYTES).then_some("is larger than 16 KiB")
    }
}

impl From<Map<String, Value>> for Metadata {
    fn from(map: Map<String, Value>) -> Self {
        Self((!map.is_empty()).then(|| Box::new(map)))
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_map().serialize(serializer)
    }
}

fn is_shallow(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return !value.is_array() && !value.is_object();
    };
    match value {
        Value::Array(items) => items.iter().all(|item| is_shallow(item, below)),
        Value::Object(map) => map.values().all(|item| is_shallow(item, below)),
        _ => true,
    }
}

fn is_free_of_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => items.iter().all(is_free_of_nul),
        Value::Object(map) => {
            map.iter().all(|(name, value)| !name.contains('\0') && is_free_of_nul(value))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value, problem: Option<&str>) {
        let map = Map::from_iter([("value".to_owned(), value)]);
        assert_eq!(Metadata::from(map).problem(), problem);
    }

    #[test]
    fn metadata_is_bounded() {
        let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::from(vec![inner]));
        check(Value::from("plain"), None);
        check(nested(15), None);
        check(nested(16), Some("is nested deeper than 16 levels"));
        check(nested(1_000), Some("is nested deeper than 16 levels"));
        check(Value::from("a\0"), Some("must not have NUL characters"));
        check(Value::from("x".repeat(16 * 1024)), Some("is larger than 16 KiB"));
    }
}
