//! Budgets: what is reserved, in a row of its own, and given back or charged in the end.

use sqlx::{PgPool, raw_sql};

/// One statement each, as few as there can be if a charge must never exceed a budget and what a
/// dead process has reserved must come back.
const RESERVE: &str = "WITH budget AS (\
    UPDATE by_hand.budgets SET used = used + $1 WHERE id = 1 AND used + $1 <= bound RETURNING id) \
    INSERT INTO by_hand.reservations (id, budget, amount, ends_at) \
    SELECT gen_random_uuid(), id, $1, now() + interval '60 seconds' FROM budget RETURNING id";
const SETTLE: &str = "WITH reserved AS (\
    DELETE FROM by_hand.reservations WHERE id = $1 RETURNING budget, amount) \
    UPDATE by_hand.budgets AS b SET used = used - (r.amount - $2) \
    FROM reserved AS r WHERE b.id = r.budget";

/// One budget in a schema of its own.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(PgPool);

impl Ledger {
    pub(crate) async fn new(pool: PgPool) -> Self {
        raw_sql(
            "CREATE SCHEMA by_hand; \
             CREATE TABLE by_hand.budgets \
             (id int PRIMARY KEY, used bigint NOT NULL, bound bigint NOT NULL); \
             CREATE TABLE by_hand.reservations \
             (id uuid PRIMARY KEY, budget int NOT NULL REFERENCES by_hand.budgets, \
             amount bigint NOT NULL, ends_at timestamptz NOT NULL); \
             CREATE INDEX ON by_hand.reservations (ends_at); \
             INSERT INTO by_hand.budgets VALUES (1, 0, 1000000000000)",
        )
        .execute(&pool)
        .await
        .expect("made");
        Self(pool)
    }

    /// Reserves an amount, and charges a part of it.
    pub(crate) async fn charge(&self, reserved: i64, charged: i64) {
        let reserve = sqlx::query_scalar::<_, sqlx::types::Uuid>(RESERVE).bind(reserved);
        let id = reserve.fetch_one(&self.0).await.expect("there is room");
        let settle = sqlx::query(SETTLE).bind(id).bind(charged);
        assert_eq!(settle.execute(&self.0).await.expect("settled").rows_affected(), 1);
    }
}
