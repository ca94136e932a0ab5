//! For how much a key may be used.

use serde::{Deserialize, Serialize};

use super::Amount;

/// A named bound on what a key may spend.
///
/// A record carries its budgets; they take effect where a ledger is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Tells the budgets of one key apart.
    pub name: String,
    /// How much may be spent in one window.
    pub limit: Amount,
    /// When it begins anew.
    pub window: BudgetWindow,
    /// How strictly it holds.
    pub mode: BudgetMode,
}

impl Budget {
    /// A hard budget of `limit`, named after its window.
    #[must_use]
    pub fn new(limit: Amount, window: BudgetWindow) -> Self {
        let name = match window {
            BudgetWindow::Total => "total",
            BudgetWindow::Hours(_) => "hours",
            BudgetWindow::Day => "day",
            BudgetWindow::Week => "week",
            BudgetWindow::Month => "month",
        };
        Self { name: name.to_owned(), limit, window, mode: BudgetMode::Hard }
    }
}

/// When a budget begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BudgetWindow {
    /// Never.
    Total,
    /// So many hours after the first charge.
    Hours(u32),
    /// With the calendar day.
    Day,
    /// With the calendar week, on Monday (ISO 8601).
    Week,
    /// With the calendar month.
    Month,
}

/// How strictly a budget holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BudgetMode {
    /// What is used never exceeds the limit.
    #[default]
    Hard,
    /// The same bound, in batches per instance.
    Leased,
    /// Checked before, added after: the last calls may exceed it.
    Soft,
}
