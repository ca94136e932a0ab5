//! Finding keys among many.

use keyauth_core::{KeyOrder, KeyPosition, KeyQuery};
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;

use crate::keys::uuid;
use crate::row::key_columns;
use crate::schema::Schema;
use crate::time::PgTime;

/// When keys were last used is asked one by one, which `OFFSET 0` insists on: joined otherwise, they
/// would have to be sorted again.
const KEYS: &str = concat!(
    "SELECT ",
    key_columns!(),
    ", u.last_used_at, host(u.last_used_from) AS last_used_from FROM keyauth.keys AS k \
     LEFT JOIN LATERAL (SELECT * FROM keyauth.key_usage WHERE key_id = k.id OFFSET 0) AS u ON true \
     WHERE k.deleted_at IS NULL AND k.tenant = "
);

/// The same statement, to be asked how it would be run.
#[cfg(test)]
pub(crate) fn explain_list(query: &KeyQuery) -> QueryBuilder<Postgres> {
    list_from(format!("EXPLAIN {KEYS}"), query)
}

/// The statement that lists keys. What is compared and what is ordered by is written as in the
/// indexes, so that these offer it.
pub(crate) fn list_keys(schema: &Schema, query: &KeyQuery) -> QueryBuilder<Postgres> {
    list_from(schema.text(KEYS), query)
}

fn list_from(keys: String, query: &KeyQuery) -> QueryBuilder<Postgres> {
    let mut list = QueryBuilder::new(keys);
    list.push_bind(query.tenant.as_str().to_owned());
    if let Some(owner) = &query.owner {
        list.push(" AND k.owner = ").push_bind(owner.as_str().to_owned());
    }
    if let Some(group) = &query.group {
        list.push(" AND k.group_id = ").push_bind(group.as_str().to_owned());
    }
    if let Some(status) = query.status {
        list.push(" AND k.status = ").push_bind(status.as_str());
    }
    let order = match &query.order {
        KeyOrder::Newest => "k.id DESC",
        KeyOrder::Name { prefix } => {
            push_prefix(&mut list, "k.name COLLATE \"C\"", prefix, query);
            "k.name COLLATE \"C\", k.id"
        }
        KeyOrder::Hint { prefix } => {
            push_prefix(&mut list, "k.hint COLLATE \"C\"", prefix, query);
            "k.hint COLLATE \"C\", k.id"
        }
        KeyOrder::Expiry => {
            list.push(" AND k.expires_at IS NOT NULL");
            "k.expires_at, k.id"
        }
        _ => "k.id",
    };
    match &query.after {
        Some(KeyPosition::Issued(last)) => {
            let behind = if query.order == KeyOrder::Newest { " < " } else { " > " };
            list.push(" AND k.id").push(behind).push_bind(uuid(*last));
        }
        Some(KeyPosition::Text(text, last)) => {
            list.push(" AND (").push(order).push(") > (").push_bind(text.to_string());
            list.push(", ").push_bind(uuid(*last)).push(")");
        }
        Some(KeyPosition::Expiry(end, last)) => {
            list.push(" AND (").push(order).push(") > (").push_bind(PgTime(*end));
            list.push(", ").push_bind(uuid(*last)).push(")");
        }
        _ => {}
    }
    list.push(" ORDER BY ").push(order);
    list.push(" LIMIT ").push_bind(i64::from(query.count));
    list
}

/// Texts that begin so, as a range, which every index offers. Behind a place in it that has no
/// other beginning: of two, the index would take either.
fn push_prefix(
    list: &mut QueryBuilder<Postgres>,
    column: &'static str,
    prefix: &str,
    query: &KeyQuery,
) {
    if !prefix.is_empty() && query.after.is_none() {
        list.push(" AND ").push(column).push(" >= ").push_bind(prefix.to_owned());
    }
    if let Some(end) = KeyOrder::end_of(prefix) {
        list.push(" AND ").push(column).push(" < ").push_bind(end);
    }
}
