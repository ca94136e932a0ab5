//! Names that are there twice.

use std::collections::HashSet;
use std::fmt;

use keyauth_core::Problem;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::shown;

/// Reads any value, and notes every name that is there twice in one object: whoever reads the
/// text next might take the other one (RFC 8259 section 4).
pub(super) struct Unique<'a> {
    pub(super) path: &'a str,
    pub(super) problems: &'a mut Vec<Problem>,
}

/// More are not told of.
const MOST: usize = 16;

impl Unique<'_> {
    fn note(&mut self, name: &str) {
        if self.problems.len() < MOST {
            self.problems.push(Problem::new(self.below(name), "is there twice"));
        }
    }

    fn below(&self, name: &str) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.path, shown(name))
    }
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let path = self.below(&name);
            map.next_value_seed(Unique { path: &path, problems: self.problems })?;
            if seen.contains(&name) {
                self.note(&name);
            }
            seen.insert(name);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut at = 0;
        loop {
            let path = format!("{}[{at}]", self.path);
            let element = Unique { path: &path, problems: self.problems };
            if seq.next_element_seed(element)?.is_none() {
                return Ok(());
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
