//! The router.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use keyauth_core::{
    BudgetState, ChargedBudget, Clock, Counted, KeyId, Ledger, LedgerError, LimitedSubject,
    StoreError, SystemClock, UsageEvent, UsageExport, UsageReader,
};
use keyauth_tower::Principal;

use super::answer::{Answer, BudgetLine};
use super::export::{self, Pages};
use super::parameters::{CallsAsked, CallsParams, PeriodParams, UsageAsked, UsageParams};
use super::row::Columns;
use super::turns::Turns;
use crate::problem::ApiError;
use crate::read::Query;

type StatesFuture = Pin<Box<dyn Future<Output = Result<Vec<BudgetState>, LedgerError>> + Send>>;
type States = dyn Fn(Vec<ChargedBudget>) -> StatesFuture + Send + Sync;

/// A router by which whoever holds a key reads what it has used.
///
/// `GET /` gives sums: of today in UTC, or `from` and up to `to` (RFC 3339, or a date) in a `zone`; by
/// the `hour`, `day` or `month` with `every`; told apart with `by` (`route`, `resource`, or both with a
/// comma between), or of one `route` or `resource` alone. Figures are exact, and of a recorder they
/// include what it has not written yet. Hours are those of UTC.
///
/// `GET /calls` gives the calls of the same period, each with what it came to: as JSON lines, or with
/// `format=csv`. It streams, however many they are.
///
/// See the [crate docs](crate) for an example. Where requests have a
/// [price](keyauth_tower::KeyAuthLayer::with_price), give these none, so that who has spent all can
/// read what on.
pub struct OwnUsage<R> {
    reader: R,
    states: Option<Arc<States>>,
    turns: Arc<Turns>,
    clock: Arc<dyn Clock>,
}

impl<R: UsageReader + Clone + 'static> OwnUsage<R> {
    /// Reads from the recorder of this process, so that what it still has to write is there, or from
    /// a store.
    #[must_use]
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            states: None,
            turns: Arc::new(Turns::new()),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Says as well how the budgets of the key and of its owner stand. Those of its group and its
    /// tenant are others' too, and not told.
    #[must_use]
    pub fn with_ledger(self, ledger: impl Ledger + 'static) -> Self {
        let ledger = Arc::new(ledger);
        let states = move |budgets: Vec<ChargedBudget>| -> StatesFuture {
            let ledger = Arc::clone(&ledger);
            Box::pin(async move { ledger.states(&budgets).await })
        };
        Self { states: Some(Arc::new(states)), ..self }
    }

    /// Takes today's date from another clock.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// The router, to be nested behind a [`KeyAuthLayer`](keyauth_tower::KeyAuthLayer).
    pub fn into_router<S>(self) -> Router<S> {
        Router::new().route("/", get(usage::<R>)).route("/calls", get(calls::<R>)).with_state(self)
    }

    /// How the key's own budgets and its owner's stand.
    async fn budgets(&self, who: &Principal) -> Result<Option<Vec<BudgetLine>>, StoreError> {
        let Some(states) = &self.states else { return Ok(None) };
        let own = |counted| matches!(counted, Counted::Key | Counted::Member | Counted::Owner);
        let applied = who.record().budgets.iter().filter(|applied| own(applied.counted));
        let charged: Vec<_> = applied
            .filter_map(|applied| {
                let (counted, budget) = (applied.counted, applied.budget.clone());
                let subject = who.record().key.limited(counted)?;
                Some((counted, ChargedBudget { subject, budget }))
            })
            .collect();
        if charged.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let asked = charged.iter().map(|(_, charged)| charged.clone()).collect();
        let states = states(asked).await.map_err(StoreError::unavailable)?;
        let lines = charged
            .into_iter()
            .zip(&states)
            .map(|((counted, charged), state)| BudgetLine::new(counted, charged.budget, state));
        Ok(Some(lines.collect()))
    }
}

/// Calls, each page in the turn of the key that asks for them.
pub(crate) struct PacedPages<R> {
    reader: R,
    turns: Arc<Turns>,
    key: Option<KeyId>,
    /// Once is enough, for the first.
    is_flushed: bool,
    export: UsageExport,
}

impl<R: UsageReader + Clone + 'static> PacedPages<R> {
    pub(crate) const fn new(
        reader: R,
        turns: Arc<Turns>,
        key: Option<KeyId>,
        export: UsageExport,
    ) -> Self {
        Self { reader, turns, key, is_flushed: false, export }
    }
}

impl<R: UsageReader + Clone + 'static> Pages for PacedPages<R> {
    async fn next_page(&mut self) -> Result<Vec<UsageEvent>, StoreError> {
        if self.export.is_over() {
            // Without a turn, which might not come.
            return Ok(Vec::new());
        }
        let (flushing, is_flushed) = (self.reader.clone(), self.is_flushed);
        let flush = async move { if is_flushed { Ok(()) } else { flushing.flush().await } };
        let (reader, mut export) = (self.reader.clone(), self.export.clone());
        let read = async move {
            let page = export.next_page(&reader).await?;
            Ok((page, export))
        };
        let (page, export) = self.turns.take(self.key, flush, read).await?;
        (self.is_flushed, self.export) = (true, export);
        Ok(page)
    }
}

async fn usage<R: UsageReader + Clone + 'static>(
    State(own): State<OwnUsage<R>>,
    who: Principal,
    Query(period, params, _): Query<PeriodParams, UsageParams>,
) -> Result<([(HeaderName, &'static str); 1], Json<Answer>), ApiError> {
    let asked = UsageAsked::read(period, params, own.clock.now())?;
    let query = asked.query(subject(&who)).map_err(StoreError::from)?;
    let (turns, key) = (Arc::clone(&own.turns), Some(who.key_id()));
    let reader = own.reader.clone();
    let flush = async move { reader.flush().await };
    let read = async move { Ok((own.reader.usage(&query).await?, own.budgets(&who).await?)) };
    let (lines, budgets) = turns.take(key, flush, read).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(Answer::new(&asked, lines, budgets))))
}

async fn calls<R: UsageReader + Clone + 'static>(
    State(own): State<OwnUsage<R>>,
    who: Principal,
    Query(period, params, _): Query<PeriodParams, CallsParams>,
) -> Result<Response, ApiError> {
    let asked = CallsAsked::read(period, &params, own.clock.now())?;
    let export = UsageExport::new(subject(&who), asked.period);
    let pages = PacedPages::new(own.reader, own.turns, Some(who.key_id()), export);
    Ok(export::respond(pages, asked.format, Columns::Own).await?)
}

fn subject(who: &Principal) -> LimitedSubject {
    LimitedSubject::Key(who.tenant().clone(), who.key_id())
}

impl<R: Clone> Clone for OwnUsage<R> {
    fn clone(&self) -> Self {
        let Self { reader, states, turns, clock } = self;
        Self {
            reader: reader.clone(),
            states: states.clone(),
            turns: Arc::clone(turns),
            clock: Arc::clone(clock),
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for OwnUsage<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnUsage").field("reader", &self.reader).finish_non_exhaustive()
    }
}
