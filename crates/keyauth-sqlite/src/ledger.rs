//! What is spent of budgets: the rules are core's, and each call is one transaction.

use std::ops::DerefMut;
use std::time::Duration;

use keyauth_core::{
    AccountName, Amount, BudgetAccount, BudgetState, ChargeId, ChargeStatus, ChargedAccounts,
    ChargedBudget, KeyStore, Ledger, LedgerError, LedgerErrorKind, LimitedSubject, NewCharge,
    Reserved, Settled, Timestamp, WhenAbandoned,
};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{Row, Transaction};

use crate::SqliteStore;
use crate::audit_log::note_reset;
use crate::keys::json;
use crate::row::{DecodeError, time};
use crate::statement::{Statement, execute};

/// How long a charge is known after it was closed.
const KNOWN: Duration = Duration::from_hours(24);

impl Ledger for SqliteStore {
    async fn reserve(&self, charge: &NewCharge, lasts: Duration) -> Result<Reserved, LedgerError> {
        charge.check()?;
        let mut books = Books::open(self).await?;
        let mut accounts = books.take_out(&charge.budgets).await?;
        match books.charge(&charge.id).await? {
            Some((known, _)) if !known.is_same(charge) => {
                return Err(LedgerErrorKind::Conflict.into());
            }
            None | Some((_, ChargeStatus::GivenBack)) => {}
            Some((known, status)) => {
                if let ChargeStatus::Reserved { until } = status {
                    let until = until.max(books.now.saturating_add(lasts));
                    books.write(&known, ChargeStatus::Reserved { until }).await?;
                    books.close().await?;
                }
                return Ok(Reserved::All(accounts.states()));
            }
        }
        if let Err(budgets) = accounts.reserve(charge.amount, books.now) {
            // What was abandoned is closed all the same.
            books.close().await?;
            return Ok(Reserved::Exhausted { budgets, states: accounts.states() });
        }
        books.put_back(&accounts).await?;
        let until = books.now.saturating_add(lasts);
        books.write(charge, ChargeStatus::Reserved { until }).await?;
        books.close().await?;
        Ok(Reserved::All(accounts.states()))
    }

    async fn tidy(&self) -> Result<(), LedgerError> {
        let mut books = Books::open(self).await?;
        let known = i64::try_from(KNOWN.as_micros()).unwrap_or(i64::MAX);
        let forget = sqlx::query("DELETE FROM charges WHERE status <> 'reserved' AND until < ?");
        let forget = forget.bind(books.now.as_micros().saturating_sub(known));
        books.execute(forget).await?;
        books.close().await
    }

    async fn renew(&self, charges: &[ChargeId], lasts: Duration) -> Result<(), LedgerError> {
        let mut books = Books::open(self).await?;
        let ids: Vec<_> = charges.iter().map(ChargeId::as_str).collect();
        let renew = sqlx::query(
            "UPDATE charges SET until = ? \
             WHERE id IN (SELECT value FROM json_each(?)) AND status = 'reserved'",
        );
        let renew = renew.bind(books.now.saturating_add(lasts).as_micros()).bind(json(&ids)?);
        books.execute(renew).await?;
        books.close().await
    }

    async fn settle(&self, id: &ChargeId, amount: Amount) -> Result<Settled, LedgerError> {
        if amount < Amount::ZERO {
            return Err(LedgerErrorKind::Invalid.into());
        }
        let mut books = Books::open(self).await?;
        let (charge, status) = books.charge(id).await?.ok_or(LedgerErrorKind::Unknown)?;
        books.settle(charge, status, amount).await
    }

    async fn book(&self, charge: &NewCharge) -> Result<Settled, LedgerError> {
        charge.check()?;
        let mut books = Books::open(self).await?;
        let (charge, status) = match books.charge(&charge.id).await? {
            Some((known, _)) if !known.is_same(charge) => {
                return Err(LedgerErrorKind::Conflict.into());
            }
            Some(known) => known,
            None => (charge.clone(), ChargeStatus::GivenBack),
        };
        let amount = charge.amount;
        books.settle(charge, status, amount).await
    }

    async fn states(&self, budgets: &[ChargedBudget]) -> Result<Vec<BudgetState>, LedgerError> {
        let mut books = Books::open(self).await?;
        let accounts = books.take_out(budgets).await?;
        books.close().await?;
        Ok(accounts.states())
    }

    async fn reset(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        self.reset_by(budget, BudgetAccount::reset).await
    }

    async fn give_back_lost(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        self.reset_by(budget, BudgetAccount::give_back_lost).await
    }
}

impl SqliteStore {
    /// A change like any other, since it raises a version: whoever remembers the budget as
    /// exhausted asks again.
    async fn reset_by(
        &self,
        budget: &ChargedBudget,
        reset: fn(&mut BudgetAccount),
    ) -> Result<(), LedgerError> {
        let now = self.issuer().now();
        let mut transaction = self.begin().await?;
        close_abandoned(&mut transaction, now).await?;
        let budgets = std::slice::from_ref(budget);
        let accounts = take_out(&mut transaction, budgets, now).await?;
        let accounts = accounts.accounts().map(|(budget, account)| {
            let mut new = *account;
            reset(&mut new);
            (budget.clone(), *account, new)
        });
        let accounts: Vec<_> = accounts.collect();
        for (budget, old, new) in &accounts {
            note_reset(&mut transaction, budget, old, new).await?;
        }
        let accounts = accounts.into_iter().map(|(budget, _, new)| (budget, new));
        let accounts = ChargedAccounts::new(accounts.collect());
        put_back(&mut transaction, &accounts).await?;
        forgive(&mut transaction, budget, now).await?;
        // To set a version to what none can be raises it.
        let raise = match &budget.subject {
            LimitedSubject::Key(tenant, key) => {
                sqlx::query("UPDATE keys SET version = -1 WHERE tenant = ? AND id = ?")
                    .bind(tenant.as_str())
                    .bind(key.as_bytes().as_slice())
            }
            LimitedSubject::Member(tenant, _, owner) | LimitedSubject::Owner(tenant, owner) => {
                sqlx::query("UPDATE owners SET version = -1 WHERE tenant = ? AND id = ?")
                    .bind(tenant.as_str())
                    .bind(owner.as_str())
            }
            LimitedSubject::Group(tenant, group) => {
                sqlx::query("UPDATE groups SET version = -1 WHERE tenant = ? AND id = ?")
                    .bind(tenant.as_str())
                    .bind(group.as_str())
            }
            LimitedSubject::Tenant(tenant) => {
                sqlx::query("UPDATE tenants SET version = -1 WHERE id = ?").bind(tenant.as_str())
            }
            _ => return Ok(transaction.commit().await?),
        };
        execute(&mut transaction, raise).await?;
        Ok(transaction.commit().await?)
    }
}

/// The books, while nobody else writes in them.
struct Books {
    transaction: Transaction<'static, Sqlite>,
    now: Timestamp,
}

impl Books {
    /// What was abandoned is closed then.
    async fn open(store: &SqliteStore) -> Result<Self, LedgerError> {
        let transaction = store.writer().begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = transaction.map_err(LedgerError::unavailable)?;
        // Once nobody is in the way any more.
        let now = store.issuer().now();
        close_abandoned(&mut transaction, now).await?;
        Ok(Self { transaction, now })
    }

    async fn take_out(
        &mut self,
        budgets: &[ChargedBudget],
    ) -> Result<ChargedAccounts, LedgerError> {
        take_out(&mut self.transaction, budgets, self.now).await
    }

    async fn put_back(&mut self, accounts: &ChargedAccounts) -> Result<(), LedgerError> {
        put_back(&mut self.transaction, accounts).await
    }

    async fn charge(
        &mut self,
        id: &ChargeId,
    ) -> Result<Option<(NewCharge, ChargeStatus)>, LedgerError> {
        let row = sqlx::query("SELECT * FROM charges WHERE id = ?").bind(id.as_str());
        let row = row.fetch_optional(self.transaction.deref_mut()).await;
        let row = row.map_err(LedgerError::unavailable)?;
        row.as_ref().map(charge).transpose().map_err(LedgerError::unavailable)
    }

    async fn settle(
        mut self,
        charge: NewCharge,
        status: ChargeStatus,
        amount: Amount,
    ) -> Result<Settled, LedgerError> {
        let mut accounts = self.take_out(&charge.budgets).await?;
        let status = accounts.settle(status, charge.amount, amount, self.now)?;
        self.put_back(&accounts).await?;
        self.write(&charge, status).await?;
        self.close().await?;
        let charged = status.charged();
        let overrun = amount.saturating_sub(charged);
        Ok(Settled { charged, overrun, states: accounts.states() })
    }

    async fn write(&mut self, new: &NewCharge, status: ChargeStatus) -> Result<(), LedgerError> {
        write(&mut self.transaction, new, status, self.now).await
    }

    async fn execute(&mut self, statement: Statement<'_>) -> Result<(), LedgerError> {
        Ok(execute(&mut self.transaction, statement).await?)
    }

    async fn close(self) -> Result<(), LedgerError> {
        self.transaction.commit().await.map_err(LedgerError::unavailable)
    }
}

async fn close_abandoned(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let abandoned = sqlx::query(
        "SELECT * FROM charges WHERE status = 'reserved' AND until <= ? ORDER BY until",
    )
    .bind(now.as_micros())
    .fetch_all(&mut *connection)
    .await
    .map_err(LedgerError::unavailable)?;
    for row in &abandoned {
        let (charge, _) = charge(row).map_err(LedgerError::unavailable)?;
        let mut accounts = take_out(connection, &charge.budgets, now).await?;
        let status = accounts.abandon(charge.amount, charge.when_abandoned, now);
        put_back(connection, &accounts).await?;
        write(connection, &charge, status, now).await?;
    }
    Ok(())
}

/// Notes that nothing of an account is lost any more: who has had it is charged what he settles.
async fn forgive(
    connection: &mut SqliteConnection,
    budget: &ChargedBudget,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let lost = sqlx::query("SELECT * FROM charges WHERE status = 'lost'");
    let lost = lost.fetch_all(&mut *connection).await.map_err(LedgerError::unavailable)?;
    for row in &lost {
        let (charge, _) = charge(row).map_err(LedgerError::unavailable)?;
        if charge.budgets.iter().any(|charged| charged.account() == budget.account()) {
            write(connection, &charge, ChargeStatus::GivenBack, now).await?;
        }
    }
    Ok(())
}

/// Reads accounts, as they are now.
async fn take_out(
    connection: &mut SqliteConnection,
    budgets: &[ChargedBudget],
    now: Timestamp,
) -> Result<ChargedAccounts, LedgerError> {
    let mut accounts = Vec::with_capacity(budgets.len());
    for budget in budgets {
        let AccountName { tenant, subject, budget: name, period, zone } = budget.account();
        let row = sqlx::query(
            "SELECT * FROM accounts \
             WHERE tenant = ? AND subject = ? AND budget = ? AND period = ? AND zone = ?",
        );
        let row = row.bind(tenant).bind(subject).bind(name).bind(period).bind(zone);
        let row = row.fetch_optional(&mut *connection).await.map_err(LedgerError::unavailable)?;
        let account = row.as_ref().map(account).transpose().map_err(LedgerError::unavailable)?;
        let mut account = account.unwrap_or_default();
        account.roll(now);
        accounts.push((budget.clone(), account));
    }
    Ok(ChargedAccounts::new(accounts))
}

async fn put_back(
    connection: &mut SqliteConnection,
    accounts: &ChargedAccounts,
) -> Result<(), LedgerError> {
    for (budget, account) in accounts.accounts() {
        let AccountName { tenant, subject, budget, period, zone } = budget.account();
        let statement = sqlx::query(
            "INSERT INTO accounts (tenant, subject, budget, period, zone, \
             began_at, ends_at, used, reserved, overrun, lost) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET began_at = excluded.began_at, ends_at = excluded.ends_at, \
             used = excluded.used, reserved = excluded.reserved, overrun = excluded.overrun, \
             lost = excluded.lost",
        )
        .bind(tenant)
        .bind(subject)
        .bind(budget)
        .bind(period)
        .bind(zone)
        .bind(account.began_at.map(Timestamp::as_micros))
        .bind(account.ends_at.map(Timestamp::as_micros))
        .bind(account.used.as_fractions())
        .bind(account.reserved.as_fractions())
        .bind(account.overrun.as_fractions())
        .bind(account.lost.as_fractions());
        execute(connection, statement).await?;
    }
    Ok(())
}

async fn write(
    connection: &mut SqliteConnection,
    charge: &NewCharge,
    status: ChargeStatus,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (word, until, settled) = match status {
        ChargeStatus::Reserved { until } => ("reserved", until, None),
        ChargeStatus::Lost { since } => ("lost", since, None),
        ChargeStatus::Settled { amount, charged } => ("settled", now, Some((amount, charged))),
        _ => ("given_back", now, None),
    };
    let statement = sqlx::query(
        "INSERT OR REPLACE INTO charges \
         (id, budgets, amount, lost_when_abandoned, status, until, settled, charged) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(charge.id.as_str())
    .bind(json(&charge.budgets)?)
    .bind(charge.amount.as_fractions())
    .bind(charge.when_abandoned == WhenAbandoned::Lost)
    .bind(word)
    .bind(until.as_micros())
    .bind(settled.map(|(amount, _)| amount.as_fractions()))
    .bind(settled.map(|(_, charged)| charged.as_fractions()));
    Ok(execute(connection, statement).await?)
}

fn account(row: &SqliteRow) -> Result<BudgetAccount, DecodeError> {
    Ok(BudgetAccount {
        began_at: time(row, "began_at")?,
        ends_at: time(row, "ends_at")?,
        used: amount(row, "used")?,
        reserved: amount(row, "reserved")?,
        overrun: amount(row, "overrun")?,
        lost: amount(row, "lost")?,
    })
}

fn charge(row: &SqliteRow) -> Result<(NewCharge, ChargeStatus), DecodeError> {
    let lost: bool = row.try_get("lost_when_abandoned")?;
    let new = NewCharge {
        id: ChargeId::new(row.try_get::<&str, _>("id")?)?,
        budgets: serde_json::from_str(row.try_get("budgets")?)?,
        amount: amount(row, "amount")?,
        when_abandoned: if lost { WhenAbandoned::Lost } else { WhenAbandoned::GivenBack },
    };
    let status = match row.try_get("status")? {
        "reserved" => {
            ChargeStatus::Reserved { until: Timestamp::from_micros(row.try_get("until")?) }
        }
        "given_back" => ChargeStatus::GivenBack,
        "lost" => ChargeStatus::Lost { since: Timestamp::from_micros(row.try_get("until")?) },
        "settled" => ChargeStatus::Settled {
            amount: amount(row, "settled")?,
            charged: amount(row, "charged")?,
        },
        other => return Err(format!("{other:?} is no status that this version knows").into()),
    };
    Ok((new, status))
}

fn amount(row: &SqliteRow, column: &str) -> Result<Amount, DecodeError> {
    Ok(Amount::from_fractions(row.try_get(column)?))
}
