//! One question about what is taken ahead, and its answer.

use std::time::Duration;

use keyauth_core::{LeaseTurn, LeasedFrom, SharedLease, SharedLeaseQuestion, Timestamp};

use super::call::Rows;
use super::name::{name, name_of_turn};

/// `None` where there is nothing to ask.
pub(super) fn rows(
    prefix: &str,
    holder: &str,
    turn: LeaseTurn,
    questions: &[SharedLeaseQuestion],
    now: Timestamp,
) -> Option<Rows> {
    let first = questions.first()?;
    let keys = vec![name_of_turn(prefix, &first.subject, holder)];
    let (turn, sent) = match turn {
        LeaseTurn::First(turn) => (turn, "first"),
        LeaseTurn::Again(turn) => (turn, "again"),
    };
    let mut rows = Rows { keys, arguments: vec![turn.to_string(), sent.to_owned()] };
    for question in questions {
        let key = name(prefix, &question.subject);
        rows.push(key, &question.limit, question.wanted, None, now);
        let unused = question.unused.map_or([0; 3], |unused| {
            let amount = i64::try_from(unused.amount).unwrap_or(i64::MAX);
            [unused.from.period, unused.from.begun.as_micros(), amount]
        });
        rows.arguments.extend(unused.map(|number| number.to_string()));
    }
    Some(rows)
}

/// What the script has answered, which is nothing where the turn is over, or what time it is where
/// the caller's clock is wrong; `None` where it was no answer.
pub(crate) fn read(answer: &str, questions: usize) -> Option<Result<Vec<SharedLease>, Timestamp>> {
    let mut numbers = answer.split(' ').map(str::parse::<i64>);
    let mut next = || numbers.next()?.ok();
    let at = Timestamp::from_micros(next()?);
    match next()? {
        0 => {}
        1 => return Some(Ok(Vec::new())),
        2 => return Some(Err(at)),
        _ => return None,
    }
    let mut lease = || {
        let granted = u64::try_from(next()?).ok()?;
        let good_for = micros(next()?)?;
        let from = LeasedFrom { period: next()?, begun: Timestamp::from_micros(next()?) };
        let (remaining, resets_after) = (u64::try_from(next()?).ok()?, micros(next()?)?);
        Some(SharedLease { granted, good_for, from, remaining, resets_after })
    };
    (0..questions).map(|_| lease()).collect::<Option<_>>().map(Ok)
}

fn micros(micros: i64) -> Option<Duration> {
    u64::try_from(micros).ok().map(Duration::from_micros)
}
