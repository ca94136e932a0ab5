//! For how much a key may be used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Amount, LimitSubject};
use crate::{TimeZone, Timestamp};

/// A named bound on what a key, or all keys of an owner, a group or a tenant, may spend.
///
/// A record carries its budgets; they take effect where a meter is configured. Where several say
/// how much the same may spend, by the same name and [`per`](Self::per), the closest one counts:
/// a key's before its owner's, its group's and its tenant's.
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
    /// Whose use is charged together; that of whatever the budget is set on where `None`.
    #[serde(default)]
    pub per: Option<LimitSubject>,
    /// Where calendar windows begin at midnight.
    #[serde(default)]
    pub zone: TimeZone,
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
        let (name, mode, zone) = (name.to_owned(), BudgetMode::Hard, TimeZone::UTC);
        Self { name, limit, window, mode, per: None, zone }
    }

    /// By another name, as where two budgets of one window stand side by side.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// In another mode.
    #[must_use]
    pub fn in_mode(self, mode: BudgetMode) -> Self {
        Self { mode, ..self }
    }

    /// For each one of a kind rather than for whatever it is set on: a group's budget for each of
    /// its owners, say.
    #[must_use]
    pub fn for_each(self, subject: LimitSubject) -> Self {
        Self { per: Some(subject), ..self }
    }

    /// Without a bound, to take the place of one that is set further out. What is spent counts
    /// all the same.
    #[must_use]
    pub fn unlimited(self) -> Self {
        Self { limit: Amount::MAX, ..self }
    }

    /// By the calendar of a time zone.
    #[must_use]
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Self { zone, ..self }
    }

    /// The window that a first charge begins: when that began, and when it ends, if it does.
    #[must_use]
    pub fn window_from(&self, first: Timestamp) -> (Timestamp, Option<Timestamp>) {
        let period = match self.window {
            BudgetWindow::Total => return (first, None),
            BudgetWindow::Hours(hours) => {
                let length = Duration::from_secs(u64::from(hours) * 3_600);
                return (first, Some(first.saturating_add(length)));
            }
            BudgetWindow::Day => self.zone.day(first),
            BudgetWindow::Week => self.zone.week(first),
            BudgetWindow::Month => self.zone.month(first),
        };
        (period.start, Some(period.end))
    }
}

/// When a budget begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
