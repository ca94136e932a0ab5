//! Names that are there twice.

use std::collections::HashSet;
use std::fmt;

use keyauth_core::Problem;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::shown;

/// Reads any value, and notes every name that is there twice in one object: whoever reads the
/// text next might take the other one (RFC 8259 section 4).
pub(super) struct Unique<'a> {
    pub(super) at: &'a At<'a>,
    pub(super) problems: &'a mut Vec<Problem>,
}

/// Where a value is. Told only where there is something to tell.
pub(super) enum At<'a> {
    Top,
    Name(&'a Self, &'a str),
    Place(&'a Self, usize),
}

/// More are not told of.
const MOST: usize = 16;

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Name(Self::Top, name) => f.write_str(&shown(name)),
            Self::Name(within, name) => write!(f, "{within}.{}", shown(name)),
            Self::Place(within, at) => write!(f, "{within}[{at}]"),
        }
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

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let at = At::Name(self.at, &name);
            map.next_value_seed(Unique { at: &at, problems: self.problems })?;
            if seen.contains(&name) && self.problems.len() < MOST {
                self.problems.push(Problem::new(at.to_string(), "is there twice"));
            }
            seen.insert(name);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut place = 0;
        loop {
            let at = At::Place(self.at, place);
            let element = Unique { at: &at, problems: self.problems };
            if seq.next_element_seed(element)?.is_none() {
                return Ok(());
            }
            place += 1;
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
