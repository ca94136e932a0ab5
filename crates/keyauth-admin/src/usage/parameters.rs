//! What is asked, as it stands in the query.

use keyauth_core::{
    InvalidInput, InvalidTimestamp, LimitedSubject, Period, Problem, TimeZone, Timestamp,
    UsageDimension, UsageQuery,
};

use serde::Deserialize;
use utoipa::IntoParams;

use super::UsageFormat;
use crate::problem::ApiError;

/// How many words of a parameter are looked at: more than there are.
const MOST: usize = 16;

/// Of which time.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PeriodParams {
    /// The first instant: a time (RFC 3339), or a date in `zone`; the beginning of the day
    /// otherwise.
    #[param(example = "2026-11-01")]
    from: Option<String>,
    /// The first instant that is not part of it; the end of today otherwise.
    to: Option<String>,
    /// Where days begin at midnight; UTC otherwise.
    #[param(example = "Europe/Berlin")]
    zone: Option<String>,
}

/// What of it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageParams {
    /// A line for each `hour` (of UTC), `day` or `month`.
    #[param(pattern = "^(hour|day|month)$")]
    every: Option<String>,
    /// A line for each `route` or `resource`, or for both with a comma between.
    #[param(pattern = "^(route|resource|route,resource)$")]
    by: Option<String>,
    /// Of this route alone.
    #[param(max_length = 1024)]
    route: Option<String>,
    /// Of this resource alone.
    #[param(max_length = 1024)]
    resource: Option<String>,
}

/// In which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallsParams {
    /// `jsonl`, one JSON object a line, as it is otherwise; or `csv`.
    #[param(pattern = "^(jsonl|csv)$")]
    format: Option<String>,
}

/// What is asked for sums.
#[derive(Debug)]
pub(crate) struct UsageAsked {
    pub(crate) period: Period,
    pub(crate) zone: TimeZone,
    pub(crate) every: Option<Every>,
    pub(crate) by: Vec<UsageDimension>,
    route: Option<String>,
    resource: Option<String>,
}

/// What is asked for calls.
#[derive(Debug)]
pub(crate) struct CallsAsked {
    pub(crate) period: Period,
    pub(crate) format: UsageFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Every {
    Hour,
    Day,
    Month,
}

impl UsageAsked {
    pub(crate) fn read(
        period: PeriodParams,
        params: UsageParams,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let mut problems = Vec::new();
        let mut refuse = |name, problem| problems.push(Problem::new(name, problem));
        let every = match params.every.as_deref() {
            None => None,
            Some("hour") => Some(Every::Hour),
            Some("day") => Some(Every::Day),
            Some("month") => Some(Every::Month),
            Some(_) => {
                refuse("every", "must be hour, day or month");
                None
            }
        };
        let mut by = Vec::new();
        for word in params.by.iter().flat_map(|by| by.split(',').take(MOST)) {
            match word {
                "route" => by.push(UsageDimension::Route),
                "resource" => by.push(UsageDimension::Resource),
                _ => refuse("by", "must be route, resource or both, with a comma between"),
            }
        }
        for (name, text) in [("route", &params.route), ("resource", &params.resource)] {
            let odd = |text: &String| text.len() > 1_024 || text.chars().any(char::is_control);
            if text.as_ref().is_some_and(odd) {
                refuse(name, "must be at most 1024 bytes, without control characters");
            }
        }
        let (period, zone) = period.read(now, &mut problems);
        let UsageParams { route, resource, .. } = params;
        done(Self { period, zone, every, by, route, resource }, problems)
    }

    pub(crate) fn query(&self, of: LimitedSubject) -> Result<UsageQuery, InvalidInput> {
        let period = self.period;
        let mut query = match self.every {
            None => UsageQuery::total(of, period),
            Some(Every::Hour) => UsageQuery::hourly(of, period)?,
            Some(Every::Day) => UsageQuery::daily(of, period, &self.zone)?,
            Some(Every::Month) => UsageQuery::monthly(of, period, &self.zone)?,
        };
        if let Some(route) = &self.route {
            query = query.of_route(route.as_str());
        }
        if let Some(resource) = &self.resource {
            query = query.of_resource(resource.as_str());
        }
        Ok(self.by.iter().fold(query, |query, dimension| query.by(*dimension)))
    }
}

impl CallsAsked {
    pub(crate) fn read(
        period: PeriodParams,
        params: &CallsParams,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let mut problems = Vec::new();
        let (period, _) = period.read(now, &mut problems);
        let format = match params.format.as_deref() {
            None | Some("jsonl") => UsageFormat::JsonLines,
            Some("csv") => UsageFormat::Csv,
            Some(_) => {
                problems.push(Problem::new("format", "must be jsonl or csv"));
                UsageFormat::default()
            }
        };
        done(Self { period, format }, problems)
    }
}

impl PeriodParams {
    /// From the beginning of a day to the end of today, where nothing else is said.
    fn read(self, now: Timestamp, problems: &mut Vec<Problem>) -> (Period, TimeZone) {
        let zone = self.zone.map_or(Ok(TimeZone::UTC), |name| TimeZone::named(&name));
        let zone = zone.unwrap_or_else(|_| {
            let problem = "is no name of a time zone like Europe/Berlin";
            problems.push(Problem::new("zone", problem));
            TimeZone::UTC
        });
        let mut time = |name, text: Option<String>| {
            let read = text.map(|text| zone.read_time(&text)).transpose();
            let problem = |error: InvalidTimestamp| Problem::new(name, error.to_string());
            read.map_err(|error| problems.push(problem(error))).ok().flatten()
        };
        let (from, to) = (time("from", self.from), time("to", self.to));
        let end = to.unwrap_or_else(|| zone.day(now).end);
        let before = Timestamp::from_micros(end.as_micros().saturating_sub(1));
        let start = from.unwrap_or_else(|| zone.day(before).start);
        if start >= end && problems.is_empty() {
            let name = if to.is_some() { "to" } else { "from" };
            problems.push(Problem::new(name, "must leave time between from and to"));
        }
        (Period { start, end }, zone)
    }
}

fn done<T>(asked: T, problems: Vec<Problem>) -> Result<T, ApiError> {
    if problems.is_empty() { Ok(asked) } else { Err(ApiError::Invalid(problems)) }
}
