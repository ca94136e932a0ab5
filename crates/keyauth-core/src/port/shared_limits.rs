//! Limits that several instances count together.

use std::fmt::Debug;
use std::time::Duration;

use crate::{
    AppliedLimit, Limit, LimitState, LimitWindow, Limited, LimitedSubject, LookupError, Timestamp,
};

/// Counts for all instances together.
///
/// # Contract
///
/// * A decision is one step over all limits: what one of them refuses is counted by none.
/// * Time is the counter's own, the same for all instances, and is told with each decision. Where
///   it goes back by a window at most it stands still until it is there again; where it goes back
///   further, what was counted counts as of now. No period that has ended opens again.
/// * It has a deadline of its own, of some tens of milliseconds, which requests wait for; and
///   while it is known to be away it fails at once.
/// * A count of a day or month that is not there is asked for, and nothing is admitted before.
/// * Places among calls at once that nobody [renews](SharedLimits::keep) come back by themselves.
/// * What is taken ahead is counted when it is, and may be used until the time it is good for is
///   over, as if it had been taken then: no bound is exceeded by it. What is not used is given back
///   to the count that it came from and to no other, and once, however often that is sent.
/// * No two subjects share a count, whatever characters their names have.
///
/// Checked by `keyauth_testkit::limiter_conformance!`, behind a limiter that stands on it.
pub trait SharedLimits: Debug + Send + Sync {
    /// Decides over all limits of a call, and counts it where it is within them.
    fn decide(
        &self,
        question: &SharedQuestion,
    ) -> impl Future<Output = Result<SharedDecision, LookupError>> + Send;

    /// How the limits stand, without counting anything.
    fn look(
        &self,
        question: &SharedQuestion,
    ) -> impl Future<Output = Result<SharedDecision, LookupError>> + Send;

    /// Keeps places for longer, those too that were lost meanwhile. What goes wrong with one of
    /// them keeps no other from it.
    fn keep(
        &self,
        places: &[SharedPlace],
        lease: Duration,
    ) -> impl Future<Output = Result<(), LookupError>> + Send;

    /// Gives places back.
    fn give_back(
        &self,
        places: &[SharedPlace],
    ) -> impl Future<Output = Result<(), LookupError>> + Send;

    /// Takes ahead of what limits have, as much as is there of what is wanted, and gives back what
    /// was taken so and not used; each by itself. For rolling limits and those of days and months,
    /// all of one tenant, or of one subject without. Answers in the order of the questions.
    ///
    /// `holder` is a name that no other process has; its turns go up for each tenant. A turn that
    /// is sent again, since there was no answer, is done once and answered the same. One that is
    /// over, or of which nobody knows any more whether it was done, does nothing, and nothing is
    /// answered.
    fn lease(
        &self,
        holder: &str,
        turn: LeaseTurn,
        questions: &[SharedLeaseQuestion],
    ) -> impl Future<Output = Result<Vec<SharedLease>, LookupError>> + Send;

    /// Forgets what somebody has used, but for what is under way; days and months begin with
    /// nothing then, whatever seeds say.
    fn reset(
        &self,
        subject: &LimitedSubject,
    ) -> impl Future<Output = Result<(), LookupError>> + Send;

    /// Says that an instance is there, for as long as said, or goes, where that is no time; and
    /// how many are there.
    fn beat(
        &self,
        instance: &str,
        lasts: Duration,
    ) -> impl Future<Output = Result<u64, LookupError>> + Send;
}

/// A call, as shared limits are asked about it.
#[derive(Clone, Debug)]
pub struct SharedQuestion {
    /// Whose limits.
    pub limited: Limited,
    /// What it costs, for limits that count that.
    pub cost: u64,
    /// The name of its places among those at once, which no other call has.
    pub place: u128,
    /// How long those are its own without being renewed.
    pub lease: Duration,
    /// What counts of days and months begin with that are not there, in the order of the limits;
    /// `None` to be asked.
    pub seeds: Vec<Option<Seed>>,
}

/// What the count of a day or month begins with that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// How much was used.
    pub used: u64,
    /// In the period that begins then; in whichever where `None`.
    pub since: Option<Timestamp>,
}

/// What shared limits say.
#[derive(Clone, Debug)]
pub struct SharedDecision {
    /// When it was decided, by the time of whoever counts.
    pub at: Timestamp,
    /// What was decided.
    pub verdict: SharedVerdict,
    /// How the limits stand after it, in their order.
    pub states: Vec<LimitState>,
}

/// What shared limits decide.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharedVerdict {
    /// The call is within all limits and was counted, and has a place among those at once of each
    /// limit that counts these.
    Within,
    /// It exceeds limits and was not counted. One like it would pass after this time, if nobody
    /// else came before; there is none where none ever would.
    Exceeded(Option<Duration>),
    /// Nothing is decided: counts are not there, and what they begin with must be given.
    Unseeded {
        /// Of which limits.
        limits: Vec<usize>,
    },
}

/// One of a holder's turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it was sent before or not")]
pub enum LeaseTurn {
    /// It is sent for the first time.
    First(u64),
    /// It was sent before, and may have been done.
    Again(u64),
}

/// What is wanted ahead of what a limit has, and what is given back.
#[derive(Clone, Debug)]
pub struct SharedLeaseQuestion {
    /// Whose use it counts.
    pub subject: LimitedSubject,
    /// The limit.
    pub limit: Limit,
    /// How much is wanted, of what the limit counts.
    pub wanted: u64,
    /// What is given back.
    pub unused: Option<UnusedLease>,
}

/// What was taken ahead and has not been used, nor will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusedLease {
    /// Where it came from.
    pub from: LeasedFrom,
    /// How much it is.
    pub amount: u64,
}

/// What something was taken from: a part of a window, or a day or month, of one count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasedFrom {
    /// Which part or period, by a number of whoever counts.
    pub period: i64,
    /// When the count was begun: after it was lost or reset it is another one.
    pub begun: Timestamp,
}

/// What was taken ahead of what a limit has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedLease {
    /// How much it is; nothing where nothing is left.
    pub granted: u64,
    /// For how long it may be used, from the moment it was asked for.
    pub good_for: Duration,
    /// Where it came from.
    pub from: LeasedFrom,
    /// How much is left besides.
    pub remaining: u64,
    /// When more is free again; zero where all is.
    pub resets_after: Duration,
}

/// A place among calls at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPlace {
    /// Among whose.
    pub subject: LimitedSubject,
    /// By which limit.
    pub limit: String,
    /// The name of the call's places.
    pub place: u128,
}

impl SharedPlace {
    /// All places that a call takes which is within its limits.
    #[must_use]
    pub fn all_of(limited: &Limited, place: u128) -> Vec<Self> {
        let at_once = |limit: &&AppliedLimit| limit.limit.window == LimitWindow::AtOnce;
        let of = |applied: &AppliedLimit| {
            let subject = limited.subject(limited.counted(applied))?;
            Some(Self { subject, limit: applied.limit.name.clone(), place })
        };
        limited.limits().iter().filter(at_once).filter_map(of).collect()
    }
}
