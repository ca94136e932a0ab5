//! Finding keys among many.

use keyauth_core::{GroupId, KeyOrder, KeyPosition, KeyQuery, OwnerId};
use sqlx::QueryBuilder;
use sqlx::sqlite::Sqlite;

use crate::row::key_columns;

/// The statement that lists keys. What is compared and what is ordered by is written as in the
/// indexes, so that these offer it.
pub(crate) fn list_keys(query: &KeyQuery) -> QueryBuilder<Sqlite> {
    const KEYS: &str = concat!(
        "SELECT ",
        key_columns!(),
        ", u.last_used_at, u.last_used_from FROM keys AS k \
         LEFT JOIN key_usage AS u ON u.key_id = k.id \
         WHERE k.deleted_at IS NULL AND k.tenant = "
    );
    let mut list = QueryBuilder::new(KEYS);
    list.push_bind(query.tenant.as_str().to_owned());
    if let Some(owner) = &query.owner {
        list.push(" AND k.owner = ").push_bind(String::from(OwnerId::clone(owner)));
    }
    if let Some(group) = &query.group {
        list.push(" AND k.group_id = ").push_bind(String::from(GroupId::clone(group)));
    }
    if let Some(status) = query.status {
        list.push(" AND k.status = ").push_bind(status.as_str());
    }
    let order = match &query.order {
        KeyOrder::Newest => "k.id DESC",
        KeyOrder::Name { prefix } => {
            push_prefix(&mut list, "k.name", prefix);
            "k.name, k.id"
        }
        KeyOrder::Hint { prefix } => {
            push_prefix(&mut list, "k.hint", prefix);
            "k.hint, k.id"
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
            list.push(" AND k.id").push(behind).push_bind(last.as_bytes().to_vec());
        }
        Some(KeyPosition::Text(text, last)) => {
            list.push(" AND (").push(order).push(") > (").push_bind(text.to_string());
            list.push(", ").push_bind(last.as_bytes().to_vec()).push(")");
        }
        Some(KeyPosition::Expiry(end, last)) => {
            list.push(" AND (").push(order).push(") > (").push_bind(end.as_micros());
            list.push(", ").push_bind(last.as_bytes().to_vec()).push(")");
        }
        _ => {}
    }
    list.push(" ORDER BY ").push(order);
    list.push(" LIMIT ").push_bind(query.count);
    list
}

/// Texts that begin so, as a range, which every index offers.
fn push_prefix(list: &mut QueryBuilder<Sqlite>, column: &'static str, prefix: &str) {
    if !prefix.is_empty() {
        list.push(" AND ").push(column).push(" >= ").push_bind(prefix.to_owned());
    }
    if let Some(end) = KeyOrder::end_of(prefix) {
        list.push(" AND ").push(column).push(" < ").push_bind(end);
    }
}
