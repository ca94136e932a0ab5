//! Sums, as they are told.

use std::sync::Arc;

use keyauth_core::{
    Amount, Budget, BudgetState, BudgetWindow, Counted, Period, Timestamp, UsageLine, UsageTotal,
};
use serde::Serialize;

use super::parameters::UsageAsked;

/// The answer to `GET /`.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    period: Shown,
    zone: String,
    total: Total,
    /// Where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<Line>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budgets: Option<Vec<BudgetLine>>,
}

#[derive(Debug, Serialize)]
struct Shown {
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct Total {
    requests: u64,
    failures: u64,
    cost: Amount,
    limit_cost: u64,
    input: u64,
    output: u64,
}

#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    period: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Arc<str>>,
    #[serde(flatten)]
    used: Total,
}

/// How a budget stands.
#[derive(Debug, Serialize)]
pub(super) struct BudgetLine {
    name: String,
    /// Whose use is charged together.
    per: Counted,
    window: BudgetWindow,
    limit: Amount,
    used: Amount,
    reserved: Amount,
    remaining: Amount,
    overrun: Amount,
    lost: Amount,
    began_at: Option<String>,
    ends_at: Option<String>,
}

impl Answer {
    pub(super) fn new(
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
    pub(super) fn new(per: Counted, budget: Budget, state: &BudgetState) -> Self {
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
