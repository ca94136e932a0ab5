//! What is asked, as it stands in the query.

use keyauth_core::{
    InvalidInput, LimitedSubject, Period, Problem, TimeZone, Timestamp, UsageDimension, UsageQuery,
};

use super::UsageFormat;

/// How many parameters are looked at, and how many words of one: more than there are.
const MOST: usize = 16;

/// What is asked for sums.
#[derive(Debug)]
pub(super) struct UsageAsked {
    pub(super) period: Period,
    pub(super) zone: TimeZone,
    pub(super) every: Option<Every>,
    pub(super) by: Vec<UsageDimension>,
    route: Option<String>,
    resource: Option<String>,
}

/// What is asked for calls.
#[derive(Debug)]
pub(super) struct CallsAsked {
    pub(super) period: Period,
    pub(super) format: UsageFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Every {
    Hour,
    Day,
    Month,
}

impl UsageAsked {
    pub(super) fn read(query: Option<&str>, now: Timestamp) -> Result<Self, Vec<Problem>> {
        let names = ["from", "to", "zone", "every", "by", "route", "resource"];
        let mut parameters = Parameters::read(query, &names);
        let (period, zone) = parameters.period(now);
        let every = match parameters.take("every").as_deref() {
            None => None,
            Some("hour") => Some(Every::Hour),
            Some("day") => Some(Every::Day),
            Some("month") => Some(Every::Month),
            Some(_) => parameters.refuse("every", "must be hour, day or month"),
        };
        let mut by = Vec::new();
        for word in parameters.take("by").iter().flat_map(|by| by.split(',').take(MOST)) {
            let problem = "must be route, resource or both, with a comma between";
            by.extend(match word {
                "route" => Some(UsageDimension::Route),
                "resource" => Some(UsageDimension::Resource),
                _ => parameters.refuse("by", problem),
            });
        }
        let (route, resource) = (parameters.text("route"), parameters.text("resource"));
        parameters.done(Self { period, zone, every, by, route, resource })
    }

    pub(super) fn query(&self, of: LimitedSubject) -> Result<UsageQuery, InvalidInput> {
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
    pub(super) fn read(query: Option<&str>, now: Timestamp) -> Result<Self, Vec<Problem>> {
        let mut parameters = Parameters::read(query, &["from", "to", "zone", "format"]);
        let (period, _) = parameters.period(now);
        let format = match parameters.take("format").as_deref() {
            None | Some("jsonl") => UsageFormat::JsonLines,
            Some("csv") => UsageFormat::Csv,
            Some(_) => parameters.refuse("format", "must be jsonl or csv").unwrap_or_default(),
        };
        parameters.done(Self { period, format })
    }
}

/// Parameters that were sent and not yet read, and what is wrong with those that were.
struct Parameters {
    left: Vec<(String, String)>,
    problems: Vec<Problem>,
}

impl Parameters {
    fn read(query: Option<&str>, names: &[&str]) -> Self {
        let (mut left, mut problems) = (Vec::<(String, String)>::new(), Vec::new());
        let parsed = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        for (name, value) in parsed.take(MOST) {
            if !names.contains(&&*name) {
                let problem = format!("is unknown; there are {}", names.join(", "));
                problems.push(Problem::new(shown(&name), problem));
            } else if left.iter().any(|(known, _)| *known == name) {
                problems.push(Problem::new(name, "is there twice"));
            } else {
                left.push((name.into_owned(), value.into_owned()));
            }
        }
        Self { left, problems }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.left.iter().position(|(known, _)| known == name)?;
        Some(self.left.swap_remove(place).1)
    }

    /// Notes what is wrong, and stands for the value that is not there.
    fn refuse<T>(&mut self, name: &str, problem: &str) -> Option<T> {
        self.problems.push(Problem::new(name, problem));
        None
    }

    /// From the beginning of a day to the end of today, where nothing else is said.
    fn period(&mut self, now: Timestamp) -> (Period, TimeZone) {
        let zone = self.take("zone").map_or(Some(TimeZone::UTC), |name| {
            let zone = TimeZone::named(&name);
            zone.ok()
                .or_else(|| self.refuse("zone", "is no name of a time zone like Europe/Berlin"))
        });
        let zone = zone.unwrap_or_default();
        let mut time = |name| {
            let text = self.take(name)?;
            zone.read_time(&text).map_err(|error| self.refuse::<()>(name, &error.to_string())).ok()
        };
        let (from, to) = (time("from"), time("to"));
        let end = to.unwrap_or_else(|| zone.day(now).end);
        let before = Timestamp::from_micros(end.as_micros().saturating_sub(1));
        let start = from.unwrap_or_else(|| zone.day(before).start);
        if start >= end {
            let name = if to.is_some() { "to" } else { "from" };
            self.refuse::<()>(name, "must leave time between from and to");
        }
        (Period { start, end }, zone)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let text = self.take(name)?;
        if text.len() > 1_024 || text.chars().any(char::is_control) {
            return self.refuse(name, "must be at most 1024 bytes, without control characters");
        }
        Some(text)
    }

    fn done<T>(self, asked: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(asked) } else { Err(self.problems) }
    }
}

/// A name that somebody has made up, for showing it.
fn shown(name: &str) -> String {
    name.chars().filter(|char| !char.is_control()).take(64).collect()
}
