//! Finding keys among many.

use keyauth_core::{KeyOrder, KeyPosition, KeyQuery};
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
    // Only the first of these is looked for in an index; a plus keeps the others out of the choice.
    let mut and = " AND ";
    if let Some(owner) = &query.owner {
        list.push(and).push("k.owner = ").push_bind(owner.as_str().to_owned());
        and = " AND +";
    }
    if let Some(group) = &query.group {
        list.push(and).push("k.group_id = ").push_bind(group.as_str().to_owned());
        and = " AND +";
    }
    if let Some(status) = query.status {
        list.push(and).push("k.status = ").push_bind(status.as_str());
    }
    let order = match &query.order {
        KeyOrder::Newest => "k.id DESC",
        KeyOrder::Name { prefix } => {
            push_prefix(&mut list, "k.name", prefix, query);
            "k.name, k.id"
        }
        KeyOrder::Hint { prefix } => {
            push_prefix(&mut list, "k.hint", prefix, query);
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

/// Texts that begin so, as a range, which every index offers. Behind a place in it that has no
/// other beginning: of two, the index would take either.
fn push_prefix(
    list: &mut QueryBuilder<Sqlite>,
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

#[cfg(test)]
mod tests {
    use keyauth_core::{GroupId, KeyStatus, OwnerId, TenantId};
    use sqlx::{AssertSqlSafe, Row};

    use super::*;
    use crate::SqliteStore;

    /// Every order and every narrowing is read from its index, and nothing is sorted.
    #[tokio::test]
    async fn lists_are_read_by_their_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path().join("keys.db")).await.expect("a new file");
        let all = || KeyQuery::first(TenantId::default(), 100);
        let owner = || OwnerId::new("ada").ok();
        let group = || GroupId::new("plan").ok();
        let active = Some(KeyStatus::Active);
        for (index, query) in [
            ("keys_by_tenant", all()),
            ("keys_by_tenant", all().in_order(KeyOrder::Newest)),
            ("keys_by_name", all().in_order(KeyOrder::Name { prefix: String::new() })),
            ("keys_by_name", all().in_order(KeyOrder::Name { prefix: "a".into() })),
            ("keys_by_hint", all().in_order(KeyOrder::Hint { prefix: "sk_".into() })),
            ("keys_by_expiry", all().in_order(KeyOrder::Expiry)),
            ("keys_by_owner", KeyQuery { owner: owner(), ..all() }),
            ("keys_by_group", KeyQuery { group: group(), ..all() }),
            ("keys_by_status", KeyQuery { status: Some(KeyStatus::Revoked), ..all() }),
            ("keys_by_owner", KeyQuery { owner: owner(), status: active, ..all() }),
            ("keys_by_owner", KeyQuery { owner: owner(), group: group(), ..all() }),
            ("keys_by_group", KeyQuery { group: group(), status: active, ..all() }),
        ] {
            let statement = format!("EXPLAIN QUERY PLAN {}", list_keys(&query).sql().as_str());
            let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(store.readers()).await;
            let rows = rows.expect("a plan");
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(plan[0].contains(&format!("USING INDEX {index} ")), "{index}: {plan:?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
        }
    }
}
