//! Questions.

use std::sync::Arc;

use super::UsageSlice;
use super::slice::{parts_of_days, whole_days};
use crate::{
    InvalidInput, KeyId, LimitedSubject, OwnerId, Period, Problem, StoreError, TimeZone, Timestamp,
    UsageTotal,
};

/// How many periods a question has at most: six weeks of hours.
const MOST_PERIODS: usize = 1_008;
/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// What was used by somebody in a period: as a whole, by the hour, the day or the month, and told
/// apart by what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    of: LimitedSubject,
    /// Where its periods begin and end, which follow each other.
    bounds: Vec<Timestamp>,
    route: Option<Arc<str>>,
    resource: Option<Arc<str>>,
    by: Vec<UsageDimension>,
}

/// What usage is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UsageDimension {
    /// The key.
    Key,
    /// For whom the key speaks.
    Owner,
    /// What was called.
    Route,
    /// What was used of it: a model, say.
    Resource,
}

/// What was used in one of the periods that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// When.
    pub period: Period,
    /// By which key, where that was [asked for](UsageDimension::Key).
    pub key: Option<KeyId>,
    /// For whom, where that was asked for.
    pub owner: Option<OwnerId>,
    /// What was called, where that was asked for; empty where that is unknown.
    pub route: Option<Arc<str>>,
    /// What was used of it, where that was asked for; empty where the service has not said.
    pub resource: Option<Arc<str>>,
    /// How much.
    pub used: UsageTotal,
}

impl UsageQuery {
    /// How many lines there are at most. What gives more is refused, since it would not be read as
    /// a whole.
    pub const MOST_LINES: usize = 10_000;

    /// All that somebody has used in a period.
    #[must_use]
    pub fn total(of: LimitedSubject, period: Period) -> Self {
        let Period { start, end } = known(period);
        let bounds = if start < end { vec![start, end] } else { Vec::new() };
        Self { of, bounds, route: None, resource: None, by: Vec::new() }
    }

    /// The same by the hour of UTC. The first and the last are cut off where the period is.
    ///
    /// # Errors
    ///
    /// Where these are more than 1 008, which is six weeks.
    pub fn hourly(of: LimitedSubject, period: Period) -> Result<Self, InvalidInput> {
        let next = |at: Timestamp| (at.as_micros().div_euclid(HOUR) + 1).saturating_mul(HOUR);
        Self::total(of, period).split(|at| Timestamp::from_micros(next(at)))
    }

    /// The same by the day of a time zone.
    ///
    /// # Errors
    ///
    /// Where these are more than 1 008.
    pub fn daily(
        of: LimitedSubject,
        period: Period,
        zone: &TimeZone,
    ) -> Result<Self, InvalidInput> {
        Self::total(of, period).split(|at| zone.day(at).end)
    }

    /// The same by the month of a time zone.
    ///
    /// # Errors
    ///
    /// Where these are more than 1 008.
    pub fn monthly(
        of: LimitedSubject,
        period: Period,
        zone: &TimeZone,
    ) -> Result<Self, InvalidInput> {
        Self::total(of, period).split(|at| zone.month(at).end)
    }

    /// Told apart by that as well, with a line for each that was used.
    #[must_use]
    pub fn by(mut self, dimension: UsageDimension) -> Self {
        if !self.by.contains(&dimension) {
            self.by.push(dimension);
        }
        self
    }

    /// Only calls of one route.
    #[must_use]
    pub fn of_route(self, route: impl Into<Arc<str>>) -> Self {
        Self { route: Some(route.into()), ..self }
    }

    /// Only calls that have used one thing.
    #[must_use]
    pub fn of_resource(self, resource: impl Into<Arc<str>>) -> Self {
        Self { resource: Some(resource.into()), ..self }
    }

    /// Whose usage.
    #[must_use]
    pub const fn subject(&self) -> &LimitedSubject {
        &self.of
    }

    /// The route that is asked for alone.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// What is asked for alone.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// Whether lines are told apart by that.
    #[must_use]
    pub fn is_by(&self, dimension: UsageDimension) -> bool {
        self.by.contains(&dimension)
    }

    /// Its periods, which follow each other; none where it asks for no time.
    pub fn periods(&self) -> impl Iterator<Item = Period> {
        let ends = self.bounds.iter().skip(1);
        self.bounds.iter().zip(ends).map(|(&start, &end)| Period { start, end })
    }

    /// For adapters: one of its periods.
    #[must_use]
    pub fn period(&self, place: usize) -> Option<Period> {
        let (start, end) = (*self.bounds.get(place)?, *self.bounds.get(place + 1)?);
        Some(Period { start, end })
    }

    /// For adapters: the days in UTC that lie wholly within one of its periods, by their number since
    /// 1970. Of these the sums are read.
    #[must_use]
    pub fn whole_days(&self) -> Vec<UsageSlice> {
        whole_days(self.periods())
    }

    /// For adapters: what its periods have besides, in microseconds of Unix time. Of that the calls
    /// are read.
    #[must_use]
    pub fn parts_of_days(&self) -> Vec<UsageSlice> {
        parts_of_days(self.periods())
    }

    /// For adapters: refuses what has more lines than one that were to be read.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput), which names `by`.
    pub fn check_lines(lines: Vec<UsageLine>) -> Result<Vec<UsageLine>, StoreError> {
        if lines.len() <= Self::MOST_LINES {
            return Ok(lines);
        }
        let most = Self::MOST_LINES;
        let problem =
            format!("gives more than {most} lines; ask for less time, or tell less apart");
        Err(InvalidInput::from(Problem::new("by", problem)).into())
    }

    /// For adapters: refuses what needs calls that began before those that are kept. Less than all of
    /// them would be taken for all.
    #[must_use]
    pub fn not_kept(since: Timestamp) -> StoreError {
        let problem = format!(
            "lies before {since}, since when calls are kept; of what was before there are sums of whole \
             days of UTC"
        );
        InvalidInput::from(Problem::new("from", problem)).into()
    }

    fn split(mut self, end: impl Fn(Timestamp) -> Timestamp) -> Result<Self, InvalidInput> {
        let [start, last] = *self.bounds else { return Ok(self) };
        self.bounds = vec![start];
        let mut at = start;
        while at < last {
            if self.bounds.len() > MOST_PERIODS {
                let problem = format!("gives more than {MOST_PERIODS} of a period that is so long");
                return Err(Problem::new("every", problem).into());
            }
            at = end(at).min(last);
            self.bounds.push(at);
        }
        Ok(self)
    }
}

/// The part of a period that databases can reckon with: from 1970 to the end of the year 9999.
fn known(period: Period) -> Period {
    const LAST: i64 = 253_402_300_800_000_000;
    let clamp = |at: Timestamp| Timestamp::from_micros(at.as_micros().clamp(0, LAST));
    Period { start: clamp(period.start), end: clamp(period.end) }
}
