//! Asking for what is taken ahead, so that nothing is lost where there is no answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyauth_core::{
    LeaseTurn, LimitedSubject, SharedLease, SharedLeaseQuestion, SharedLimits, TenantId,
};

use super::super::Inner;
use super::Subject;
use super::stock::Stock;
use crate::algorithm::nanos;

/// How many limits are asked about in one step.
const QUESTIONS: usize = 64;
/// How soon it is asked again where there was no answer.
const RETRY: Duration = Duration::from_secs(1);

/// A question about a limit, and whose answer it is.
pub(super) struct Asking {
    pub(super) stocks: Arc<Subject>,
    /// Of its stock, when it was asked.
    pub(super) resets: u64,
    pub(super) question: SharedLeaseQuestion,
}

/// What is asked in one step.
pub(super) struct Step {
    turn: LeaseTurn,
    asked_at: u64,
    /// When it may be asked again, where there was no answer.
    again_at: u64,
    asking: Vec<Asking>,
}

/// Whose limits are counted in one place.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Together {
    Tenant(TenantId),
    Alone(LimitedSubject),
}

impl Together {
    pub(super) fn of(subject: &LimitedSubject) -> Self {
        match subject.tenant() {
            Some(tenant) => Self::Tenant(tenant.clone()),
            None => Self::Alone(subject.clone()),
        }
    }
}

/// Asks questions of one place, as many in a step as may be, until there is no answer. Gives what
/// that was; what would have come after is put back.
pub(super) async fn ask_in_turn<S: SharedLimits>(
    inner: &Inner<S>,
    unanswered: Option<Step>,
    group: Vec<Asking>,
) -> Option<Step> {
    let leases = inner.leases.as_ref()?;
    let (mut group, mut again) = (group.into_iter(), unanswered);
    loop {
        let mut step = again.take().unwrap_or_else(|| Step {
            turn: LeaseTurn::First(leases.turn.fetch_add(1, Ordering::Relaxed) + 1),
            asked_at: leases.now(),
            again_at: 0,
            asking: group.by_ref().take(QUESTIONS).collect(),
        });
        if step.asking.is_empty() {
            return None;
        }
        let questions: Vec<_> = step.asking.iter().map(|asking| asking.question.clone()).collect();
        match inner.shared.lease(&inner.places.holder(), step.turn, &questions).await {
            Ok(answers) => step.answered(&answers),
            Err(error) => {
                tracing::debug!(%error, "nothing could be taken ahead");
                let (LeaseTurn::First(turn) | LeaseTurn::Again(turn)) = step.turn;
                step.turn = LeaseTurn::Again(turn);
                step.again_at = leases.now().saturating_add(nanos(RETRY));
                group.for_each(|asking| asking.put_back(step.again_at));
                return Some(step);
            }
        }
    }
}

impl Step {
    /// When it may be asked again.
    pub(super) const fn again_at(&self) -> u64 {
        self.again_at
    }

    /// Has it asked again with the next look.
    pub(super) const fn hurry(&mut self) {
        self.again_at = 0;
    }

    /// Of a turn that is over nothing is answered, and nobody knows what became of it.
    fn answered(&self, answers: &[SharedLease]) {
        for (at, asking) in self.asking.iter().enumerate() {
            let (wanted, resets) = (asking.question.wanted, asking.resets);
            asking.stock(|stock| match answers.get(at) {
                Some(_) if wanted == 0 => {}
                Some(lease) => stock.answered(wanted, self.asked_at, resets, lease),
                None => stock.unsent(wanted, None, 0),
            });
        }
    }
}

impl Asking {
    /// Is not sent, nor is anything else about the limit before then.
    pub(super) fn put_back(self, before: u64) {
        let (wanted, unused) = (self.question.wanted, self.question.unused);
        self.stock(|stock| stock.unsent(wanted, unused, before));
    }

    fn stock(&self, then: impl FnOnce(&mut Stock)) {
        if let Some(mut stocks) = self.stocks.lock()
            && let Some(stock) = stocks.find(&self.question.limit, 0)
        {
            then(stock);
        }
    }
}
