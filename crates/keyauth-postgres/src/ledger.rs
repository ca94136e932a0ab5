//! What is spent of budgets. The work is done by functions in the database, one call each:
//! `migrations/0004_budgets.sql` has them.

use std::time::Duration;

use keyauth_core::{
    AccountName, Amount, BudgetState, ChargeId, ChargedBudget, Ledger, LedgerError,
    LedgerErrorKind, NewCharge, Reserved, Settled, StoreError, WhenAbandoned,
};
use sqlx::postgres::PgRow;
use sqlx::postgres::types::PgInterval;
use sqlx::{Row, SqlStr};

use crate::PostgresStore;
use crate::statement::{Statement, execute};
use crate::time::PgTime;
use crate::transaction::{ATTEMPTS, change_with, is_transient};

impl Ledger for PostgresStore {
    async fn reserve(&self, charge: &NewCharge, lasts: Duration) -> Result<Reserved, LedgerError> {
        charge.check()?;
        let mut reserved = self.try_reserve(charge, lasts).await?;
        if reserved.is_none() {
            // Whoever looks closes what was abandoned.
            self.states(&charge.budgets).await?;
            reserved = self.try_reserve(charge, lasts).await?;
        }
        // Others abandon theirs in each moment: what was closed meanwhile decides.
        reserved.ok_or_else(|| LedgerError::unavailable("abandoned charges are in the way"))
    }

    async fn tidy(&self) -> Result<(), LedgerError> {
        for statement in
            ["SELECT keyauth.close_some_abandoned()", "SELECT keyauth.forget_charges()"]
        {
            let statement = self.schema().sql(statement);
            // A few at a time, so that nobody waits for long; all that there are, in the end.
            let mut done: i64 = 1;
            while done > 0 {
                let rows = self.rows(|| sqlx::query(statement.clone())).await?;
                let row = rows.first().ok_or_else(|| LedgerError::unavailable("no row"))?;
                done = row.try_get(0).map_err(LedgerError::unavailable)?;
            }
        }
        Ok(())
    }

    async fn renew(&self, charges: &[ChargeId], lasts: Duration) -> Result<(), LedgerError> {
        let renew = self.schema().sql("SELECT keyauth.renew_charges($1, $2)");
        let ids: Vec<_> = charges.iter().map(ChargeId::as_str).collect();
        self.rows(|| sqlx::query(renew.clone()).bind(&ids).bind(interval(lasts))).await.map(drop)
    }

    async fn settle(&self, charge: &ChargeId, amount: Amount) -> Result<Settled, LedgerError> {
        if amount < Amount::ZERO {
            return Err(LedgerErrorKind::Invalid.into());
        }
        let statement = self.schema().sql("SELECT * FROM keyauth.settle_charge($1, $2)");
        let settle = || {
            let statement = sqlx::query(statement.clone());
            statement.bind(charge.as_str()).bind(amount.as_fractions())
        };
        settled(&self.rows(settle).await?, amount)
    }

    async fn book(&self, charge: &NewCharge) -> Result<Settled, LedgerError> {
        charge.check()?;
        let statement = self
            .schema()
            .sql("SELECT * FROM keyauth.book_charge($6, $1, $2, $3, $4, $5, $7, $8, $9, $10)");
        let terms = Terms::of(charge);
        settled(&self.rows(|| terms.bind(statement.clone())).await?, charge.amount)
    }

    async fn states(&self, budgets: &[ChargedBudget]) -> Result<Vec<BudgetState>, LedgerError> {
        let statement =
            self.schema().sql("SELECT * FROM keyauth.budget_states($1, $2, $3, $4, $5)");
        let names = Names::of(budgets);
        let rows = self.rows(|| names.bind(statement.clone())).await?;
        let states =
            rows.iter().zip(budgets).map(|(row, charged)| state(row, charged.budget.limit));
        states.collect()
    }

    async fn reset(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        Ok(self.reset_as(budget, false).await?)
    }

    async fn give_back_lost(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        Ok(self.reset_as(budget, true).await?)
    }
}

impl PostgresStore {
    /// `None` where abandoned charges are in the way.
    async fn try_reserve(
        &self,
        charge: &NewCharge,
        lasts: Duration,
    ) -> Result<Option<Reserved>, LedgerError> {
        let statement = self.schema().sql(
            "SELECT * FROM keyauth.reserve_charge($6, $1, $2, $3, $4, $5, $7, $8, $9, $10, $11)",
        );
        let terms = Terms::of(charge);
        let reserve = || terms.bind(statement.clone()).bind(interval(lasts));
        let rows = self.rows(reserve).await?;
        let mut refusing = Vec::new();
        let mut states = Vec::with_capacity(rows.len());
        let mut exhausted = false;
        for (at, (row, charged)) in rows.iter().zip(&charge.budgets).enumerate() {
            exhausted = match row.try_get("outcome").map_err(LedgerError::unavailable)? {
                "reserved" => false,
                "exhausted" => true,
                "abandoned" => return Ok(None),
                "conflict" => return Err(LedgerErrorKind::Conflict.into()),
                other => return Err(nonsense(other)),
            };
            if row.try_get("refuses").map_err(LedgerError::unavailable)? {
                refusing.push(at);
            }
            states.push(state(row, charged.budget.limit)?);
        }
        Ok(Some(match exhausted {
            true => Reserved::Exhausted { budgets: refusing, states },
            false => Reserved::All(states),
        }))
    }

    /// A change like any other, since it raises a version.
    async fn reset_as(&self, budget: &ChargedBudget, only_lost: bool) -> Result<(), StoreError> {
        let statement = self.schema().sql("SELECT keyauth.reset_budget($1, $2, $3, $4, $5, $6)");
        let AccountName { tenant, subject, budget, period, zone } = budget.account();
        change_with!(self, |connection| {
            let statement = sqlx::query(statement.clone())
                .bind(&tenant)
                .bind(&subject)
                .bind(&budget)
                .bind(&period)
                .bind(&zone)
                .bind(only_lost);
            execute(connection, statement).await
        })
    }

    /// Runs a statement, and again where the database has rolled it back for the sake of others.
    async fn rows<'q>(
        &self,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>, LedgerError> {
        let mut attempt = 1;
        loop {
            match statement().fetch_all(self.pool()).await {
                Err(error) if attempt < ATTEMPTS && is_transient(&error) => attempt += 1,
                outcome => return outcome.map_err(unavailable),
            }
        }
    }
}

/// The names of accounts, a column each.
struct Names {
    tenants: Vec<String>,
    subjects: Vec<String>,
    budgets: Vec<String>,
    periods: Vec<String>,
    zones: Vec<String>,
}

impl Names {
    fn of(budgets: &[ChargedBudget]) -> Self {
        let (mut tenants, mut subjects, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let (mut periods, mut zones) = (Vec::new(), Vec::new());
        for AccountName { tenant, subject, budget, period, zone } in
            budgets.iter().map(ChargedBudget::account)
        {
            tenants.push(tenant);
            subjects.push(subject);
            names.push(budget);
            periods.push(period);
            zones.push(zone);
        }
        Self { tenants, subjects, budgets: names, periods, zones }
    }

    /// A statement whose first five values they are.
    fn bind(&self, statement: SqlStr) -> Statement<'_> {
        let Self { tenants, subjects, budgets, periods, zones } = self;
        sqlx::query(statement).bind(tenants).bind(subjects).bind(budgets).bind(periods).bind(zones)
    }
}

/// A new charge, a value or column each.
struct Terms<'c> {
    charge: &'c NewCharge,
    names: Names,
    limits: Vec<i64>,
    soft: Vec<bool>,
}

impl<'c> Terms<'c> {
    fn of(charge: &'c NewCharge) -> Self {
        let budgets = || charge.budgets.iter();
        let limits = budgets().map(|one| one.budget.limit.as_fractions()).collect();
        let soft = budgets().map(|one| !one.is_reserved_of()).collect();
        Self { charge, names: Names::of(&charge.budgets), limits, soft }
    }

    /// A statement whose first ten values they are.
    fn bind(&self, statement: SqlStr) -> Statement<'_> {
        let Self { charge, names, limits, soft } = self;
        names
            .bind(statement)
            .bind(charge.id.as_str())
            .bind(limits)
            .bind(soft)
            .bind(charge.amount.as_fractions())
            .bind(charge.when_abandoned == WhenAbandoned::Lost)
    }
}

fn settled(rows: &[PgRow], amount: Amount) -> Result<Settled, LedgerError> {
    let mut charged = Amount::ZERO;
    let mut states = Vec::with_capacity(rows.len());
    for row in rows {
        match row.try_get("outcome").map_err(LedgerError::unavailable)? {
            "settled" => {}
            "conflict" => return Err(LedgerErrorKind::Conflict.into()),
            "unknown" => return Err(LedgerErrorKind::Unknown.into()),
            other => return Err(nonsense(other)),
        }
        charged = amount_of(row, "charged")?;
        states.push(state(row, amount_of(row, "bound")?)?);
    }
    Ok(Settled { charged, overrun: amount.saturating_sub(charged), states })
}

fn state(row: &PgRow, limit: Amount) -> Result<BudgetState, LedgerError> {
    let time = |column| {
        let time: Result<Option<PgTime>, _> = row.try_get(column);
        time.map(|time| time.map(|time| time.0)).map_err(LedgerError::unavailable)
    };
    Ok(BudgetState {
        limit,
        used: amount_of(row, "used")?,
        reserved: amount_of(row, "reserved")?,
        overrun: amount_of(row, "overrun")?,
        lost: amount_of(row, "lost")?,
        began_at: time("began_at")?,
        ends_at: time("ends_at")?,
    })
}

fn amount_of(row: &PgRow, column: &str) -> Result<Amount, LedgerError> {
    row.try_get(column).map(Amount::from_fractions).map_err(LedgerError::unavailable)
}

fn interval(lasts: Duration) -> PgInterval {
    let microseconds = i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}

fn nonsense(outcome: &str) -> LedgerError {
    LedgerError::unavailable(format!("{outcome:?} is no outcome that this version knows"))
}

fn unavailable(error: sqlx::Error) -> LedgerError {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // Undefined function, schema.
        Some("42883" | "3F000") => LedgerError::unavailable(format!(
            "the schema is missing or older than this code; `PostgresStore::migrate` makes it: \
             {error}"
        )),
        // Values that it does not take, now or later: an unknown time zone, say.
        Some(code) if code.starts_with("22") || code.starts_with("23") => {
            LedgerError::invalid(error)
        }
        _ => LedgerError::unavailable(error),
    }
}
