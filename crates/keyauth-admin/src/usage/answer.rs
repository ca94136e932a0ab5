//! Sums, as they are told.

use std::sync::Arc;

use keyauth_core::{
    Amount, Budget, BudgetState, BudgetWindow, Counted, Period, Timestamp, UsageLine, UsageTotal,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::UsageAsked;

/// The answer to `GET /`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(crate) struct Answer {
    #[serde(flatten)]
    period: Shown,
    zone: String,
    total: Total,
    /// Where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Line>, required = false)]
    lines: Option<Vec<Line>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<BudgetLine>, required = false)]
    budgets: Option<Vec<BudgetLine>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsagePeriod)]
struct Shown {
    from: String,
    to: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageTotal)]
struct Total {
    requests: u64,
    failures: u64,
    #[schema(value_type = String)]
    cost: Amount,
    limit_cost: u64,
    input: u64,
    output: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageLine)]
struct Line {
    #[serde(flatten)]
    period: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    route: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    resource: Option<Arc<str>>,
    #[serde(flatten)]
    used: Total,
}

/// How a budget stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageBudget)]
pub(crate) struct BudgetLine {
    name: String,
    /// Whose use is charged together.
    #[schema(value_type = String)]
    per: Counted,
    #[schema(value_type = serde_json::Value)]
    window: BudgetWindow,
    #[schema(value_type = String)]
    limit: Amount,
    #[schema(value_type = String)]
    used: Amount,
    #[schema(value_type = String)]
    reserved: Amount,
    #[schema(value_type = String)]
    remaining: Amount,
    #[schema(value_type = String)]
    overrun: Amount,
    #[schema(value_type = String)]
    lost: Amount,
    began_at: Option<String>,
    ends_at: Option<String>,
}

impl Answer {
    pub(crate) fn new(
        asked: &UsageAsked,
        lines: Vec<UsageLine>,
        budgets: Option<Vec<BudgetLine>>,
    ) -> Self {
        // Of the same reading, so that they agree.
        let total = lines
            .iter()
            .fold(UsageTotal::default(), |total, line| total.saturating_add(&line.used));
        let wanted = asked.every.is_some() || !asked.by.is_empty();
        Self {
            period: asked.period.into(),
            zone: asked.zone.to_string(),
            total: total.into(),
            lines: wanted.then(|| lines.into_iter().map(Line::from).collect()),
            budgets,
        }
    }
}

impl From<Period> for Shown {
    fn from(Period { start, end }: Period) -> Self {
        Self { from: start.to_string(), to: end.to_string() }
    }
}

impl From<UsageTotal> for Total {
    fn from(total: UsageTotal) -> Self {
        let UsageTotal { requests, failures, cost, limit_cost, input, output } = total;
        Self { requests, failures, cost, limit_cost, input, output }
    }
}

impl From<UsageLine> for Line {
    fn from(line: UsageLine) -> Self {
        let UsageLine { period, route, resource, used, .. } = line;
        Self { period: period.into(), route, resource, used: used.into() }
    }
}

impl BudgetLine {
    pub(crate) fn new(per: Counted, budget: Budget, state: &BudgetState) -> Self {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            name: budget.name,
            per,
            window: budget.window,
            limit: state.limit,
            used: state.used,
            reserved: state.reserved,
            remaining: state.remaining(),
            overrun: state.overrun,
            lost: state.lost,
            began_at: time(state.began_at),
            ends_at: time(state.ends_at),
        }
    }
}
