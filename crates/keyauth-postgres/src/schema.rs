//! The schema's name, and statements in it.

use std::fmt;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlStr};

use crate::{OpenError, OpenErrorKind};

/// The schema that SQL is written for.
const DEFAULT: &str = "keyauth";
/// The longest name PostgreSQL does not cut off.
const MAX_LEN: usize = 63;

/// The name of a schema: a letter or underscore, then letters, digits and underscores.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Schema(Arc<str>);

impl Schema {
    pub(crate) fn new(name: &str) -> Result<Self, OpenError> {
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !first || !rest || name.len() > MAX_LEN {
            return Err(OpenErrorKind::InvalidSchemaName.into());
        }
        Ok(Self(name.into()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// A statement that was written for the default schema, for this one. Quoted, so that
    /// capital letters in the name stay what they are.
    pub(crate) fn sql(&self, statement: &'static str) -> SqlStr {
        if self.0.as_ref() == DEFAULT {
            return SqlStr::from_static(statement);
        }
        AssertSqlSafe(self.text(statement)).into_sql_str()
    }

    /// A statement that is put together, for this schema.
    pub(crate) fn joined(&self, parts: &[&'static str]) -> SqlStr {
        AssertSqlSafe(self.text(&parts.concat())).into_sql_str()
    }

    /// The same as text.
    pub(crate) fn text(&self, statement: &str) -> String {
        let name = &self.0;
        statement
            .replace("keyauth.", &format!("\"{name}\"."))
            .replace("SCHEMA IF NOT EXISTS keyauth;", &format!("SCHEMA IF NOT EXISTS \"{name}\";"))
            .replace("IN SCHEMA keyauth ", &format!("IN SCHEMA \"{name}\" "))
    }
}

use sqlx::SqlSafeStr;

impl Default for Schema {
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_escaping() {
        for good in ["keyauth", "_k", "MixedCase", "a1", &"x".repeat(63)] {
            assert!(Schema::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "a-b", "a b", "a\"b", "a'b", "a.b", "\u{e4}", &"x".repeat(64)] {
            assert!(Schema::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_table_is_in_the_schema() {
        let schema = Schema::new("Mixed").expect("a name");
        let sql = schema.text("CREATE SCHEMA IF NOT EXISTS keyauth; SELECT nextval('keyauth.v')");
        assert_eq!(sql, "CREATE SCHEMA IF NOT EXISTS \"Mixed\"; SELECT nextval('\"Mixed\".v')");
    }
}
