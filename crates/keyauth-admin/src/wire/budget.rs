//! Budgets.

use keyauth_core::{
    Amount, Budget, BudgetMode, BudgetState, BudgetWindow, ChargedBudget, LimitSubject, Problem,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Text;
use super::limit::{read_all, utc, zone};
use crate::problem::ApiError;

/// For how much something may be used.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Budget, example = json!({"name": "month", "limit": "20.00", "window": "month"}))]
pub(crate) struct BudgetBody {
    /// Tells the budgets of one subject apart; printable, without spaces.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    name: String,
    /// How much may be spent in one window, as a decimal with at most eight places; `null` is
    /// without a bound.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<String>, required = true, pattern = "^[0-9]{1,11}(\\.[0-9]{1,8})?$")]
    limit: Option<Amount>,
    /// When it begins anew: `total` for never, hours after the first charge like `5h`, or with the
    /// `day`, `week` or `month`.
    #[schema(pattern = "^(total|[1-9][0-9]{0,3}h|day|week|month)$")]
    window: String,
    /// How strictly it holds: `hard` and `leased` are never exceeded, `soft` by the last calls.
    #[serde(default)]
    #[schema(value_type = String, default = "hard", pattern = "^(hard|leased|soft)$")]
    mode: BudgetMode,
    /// Whose use is charged together; that of whatever it is set on otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(key|owner|group|tenant)$")]
    per: Option<LimitSubject>,
    /// Where calendar windows begin at midnight.
    #[serde(default = "utc")]
    #[schema(default = "UTC", example = "Europe/Berlin")]
    zone: String,
}

/// How a budget stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BudgetState)]
pub(crate) struct BudgetStateView {
    /// The budget.
    budget: BudgetBody,
    /// How much of it is used, lost included.
    #[schema(value_type = String)]
    used: Amount,
    /// How much is reserved besides.
    #[schema(value_type = String)]
    reserved: Amount,
    /// How much is left.
    #[schema(value_type = String)]
    remaining: Amount,
    /// How much more was made than could be charged.
    #[schema(value_type = String)]
    overrun: Amount,
    /// How much of what is used nobody has settled.
    #[schema(value_type = String)]
    lost: Amount,
    /// When its window began; `null` before the first charge.
    #[schema(value_type = Option<String>, format = DateTime)]
    began_at: Option<Text<Timestamp>>,
    /// When it ends, if it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    ends_at: Option<Text<Timestamp>>,
    /// Whether nothing is left, so that whatever costs something is refused.
    exhausted: bool,
}

impl BudgetBody {
    fn read(self, field: &str) -> Result<Budget, Problem> {
        let at = |name: &str| format!("{field}.{name}");
        let hours = || self.window.strip_suffix('h').and_then(|hours| hours.parse().ok());
        let window = match self.window.as_str() {
            "total" => BudgetWindow::Total,
            "day" => BudgetWindow::Day,
            "week" => BudgetWindow::Week,
            "month" => BudgetWindow::Month,
            _ => BudgetWindow::Hours(hours().ok_or_else(|| {
                Problem::new(at("window"), "must be total, hours like 5h, day, week or month")
            })?),
        };
        let limit = self.limit.unwrap_or(Amount::MAX);
        let zone = zone(&self.zone, &at("zone"))?;
        Ok(Budget { name: self.name, limit, window, mode: self.mode, per: self.per, zone })
    }

    /// All of a list, with everything that is wrong.
    pub(super) fn read_all(bodies: Vec<Self>) -> Result<Vec<Budget>, ApiError> {
        read_all(bodies, "budgets", Self::read)
    }
}

impl From<&Budget> for BudgetBody {
    fn from(budget: &Budget) -> Self {
        let window = match budget.window {
            BudgetWindow::Hours(hours) => format!("{hours}h"),
            BudgetWindow::Day => "day".into(),
            BudgetWindow::Week => "week".into(),
            BudgetWindow::Month => "month".into(),
            _ => "total".into(),
        };
        Self {
            name: budget.name.clone(),
            limit: Some(budget.limit).filter(|limit| *limit != Amount::MAX),
            window,
            mode: budget.mode,
            per: budget.per,
            zone: budget.zone.name().to_owned(),
        }
    }
}

impl BudgetStateView {
    pub(crate) fn all(budgets: &[ChargedBudget], states: &[BudgetState]) -> Vec<Self> {
        let view = |(charged, state): (&ChargedBudget, &BudgetState)| Self {
            budget: (&charged.budget).into(),
            used: state.used,
            reserved: state.reserved,
            remaining: state.remaining(),
            overrun: state.overrun,
            lost: state.lost,
            began_at: state.began_at.map(Text),
            ends_at: state.ends_at.map(Text),
            exhausted: state.remaining() == Amount::ZERO,
        };
        budgets.iter().zip(states).map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_written_as_they_are_read() {
        let ten = Amount::from_units(10).expect("an amount");
        for budget in [
            Budget::new(ten, BudgetWindow::Total),
            Budget::new(ten, BudgetWindow::Hours(5)).in_mode(BudgetMode::Soft),
            Budget::new(ten, BudgetWindow::Month).for_each(LimitSubject::Owner),
            Budget::new(ten, BudgetWindow::Week).unlimited(),
        ] {
            let json = serde_json::to_value(BudgetBody::from(&budget)).expect("JSON");
            let body: BudgetBody = serde_json::from_value(json).expect("a budget");
            assert_eq!(body.read("budgets[0]"), Ok(budget));
        }
        let soon = serde_json::json!({"name": "a", "limit": "1", "window": "5"});
        let body: BudgetBody = serde_json::from_value(soon).expect("shaped like one");
        assert_eq!(body.read("budgets[0]").expect_err("no window").field(), "budgets[0].window");
    }
}
