//! What accounts are known by.

use crate::{BudgetWindow, ChargedBudget, LimitedSubject};

/// The name of an account: what is spent of one budget of one subject.
///
/// As texts, for ledgers that keep it in columns. The order is that of columns, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName {
    /// The tenant's; empty where the subject is nobody's.
    pub tenant: String,
    /// A kind and names, a space in between, which no name has: `owner ada`.
    pub subject: String,
    /// The budget's.
    pub budget: String,
    /// `total`, `day`, `week`, `month`, or a number of hours.
    pub period: String,
    /// The time zone's.
    pub zone: String,
}

impl ChargedBudget {
    /// The account that keeps what is spent of it. It stays the same when limit or mode change.
    #[must_use]
    pub fn account(&self) -> AccountName {
        let subject = match &self.subject {
            LimitedSubject::Key(_, key) => format!("key {key}"),
            LimitedSubject::Member(_, group, owner) => format!("member {group} {owner}"),
            LimitedSubject::Owner(_, owner) => format!("owner {owner}"),
            LimitedSubject::Group(_, group) => format!("group {group}"),
            LimitedSubject::Tenant(_) => "tenant".to_owned(),
            LimitedSubject::Other(name) => format!("other {name}"),
        };
        let period = match self.budget.window {
            BudgetWindow::Total => "total".to_owned(),
            BudgetWindow::Hours(hours) => hours.to_string(),
            BudgetWindow::Day => "day".to_owned(),
            BudgetWindow::Week => "week".to_owned(),
            BudgetWindow::Month => "month".to_owned(),
        };
        AccountName {
            tenant: self.subject.tenant().map(ToString::to_string).unwrap_or_default(),
            subject,
            budget: self.budget.name.clone(),
            period,
            zone: self.budget.zone.name().to_owned(),
        }
    }
}
