//! How far changes have come.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// How far a change has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Propagation {
    /// Every instance has applied it.
    Acknowledged,
    /// Some have not said so, but so much time has passed that none of them can be serving
    /// what was before.
    Elapsed {
        /// Their names.
        missing: Vec<Arc<str>>,
    },
    /// The timeout came first. These instances may still be serving what was before.
    TimedOut {
        /// Their names.
        missing: Vec<Arc<str>>,
    },
}

impl Propagation {
    /// Whether no instance can be serving what was before.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !matches!(self, Self::TimedOut { .. })
    }

    /// What can be said after having waited for so long, or how long to wait before looking
    /// again: for those who implement
    /// [`ChangeFeed::propagated`](crate::ChangeFeed::propagated).
    pub fn so_far(
        missing: &[SilentInstance],
        waited: Duration,
        timeout: Duration,
    ) -> ControlFlow<Self, Duration> {
        let Some(longest) = missing.iter().map(|instance| instance.serves).max() else {
            return ControlFlow::Break(Self::Acknowledged);
        };
        let needed = Self::longest(longest);
        let names = || missing.iter().map(|instance| Arc::clone(&instance.name)).collect();
        if waited >= needed {
            return ControlFlow::Break(Self::Elapsed { missing: names() });
        }
        if waited >= timeout {
            return ControlFlow::Break(Self::TimedOut { missing: names() });
        }
        let left = needed.min(timeout).saturating_sub(waited);
        // Often at first, when most of them answer, and seldom at last.
        let pause = (waited / 4).clamp(Duration::from_millis(2), Duration::from_millis(100));
        ControlFlow::Continue(pause.min(left))
    }

    /// How long a time on another machine may take here: clocks do not go equally fast.
    pub(crate) fn longest(there: Duration) -> Duration {
        there.saturating_add(there / 10)
    }

    /// The names of the instances that have not said that they applied the change.
    #[must_use]
    pub fn missing(&self) -> &[Arc<str>] {
        match self {
            Self::Acknowledged => &[],
            Self::Elapsed { missing } | Self::TimedOut { missing } => missing,
        }
    }
}

/// An instance that has not said that it applied a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentInstance {
    /// What people call it.
    pub name: Arc<str>,
    /// How long after a change it may be serving what was before.
    pub serves: Duration,
}

/// Notices instances that are gone, by beats that do not go on. Nobody's clock is compared with
/// anybody else's.
#[derive(Debug)]
pub struct Beats<K>(HashMap<K, (i64, Duration)>);

impl<K: Copy + Eq + Hash> Beats<K> {
    /// How often an instance must beat, that is, raise its number.
    pub const INTERVAL: Duration = Duration::from_secs(30);
    /// How long one may be silent, beyond the time it may be serving what it has.
    const SILENCE: Duration = Duration::from_secs(600);

    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// Takes note of the instances there are at `now`, an uptime, as `(name, beat, serves)`.
    /// Gives back those that have been silent for so long that they cannot be serving, each
    /// with the beat it was last seen with.
    pub fn silent(
        &mut self,
        instances: impl IntoIterator<Item = (K, i64, Duration)>,
        now: Duration,
    ) -> Vec<(K, i64)> {
        let mut seen = HashMap::new();
        let mut silent = Vec::new();
        for (name, beat, serves) in instances {
            let since = match self.0.get(&name) {
                Some((last, since)) if *last == beat => *since,
                _ => now,
            };
            if now.saturating_sub(since) > serves.saturating_add(Self::SILENCE) {
                silent.push((name, beat));
            }
            seen.insert(name, (beat, since));
        }
        self.0 = seen;
        silent
    }
}

impl<K: Copy + Eq + Hash> Default for Beats<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn instance(serves: u64) -> SilentInstance {
        SilentInstance { name: "a".into(), serves: secs(serves) }
    }

    #[track_caller]
    fn check(
        missing: &[SilentInstance],
        waited: u64,
        timeout: u64,
        expected: Option<&Propagation>,
    ) {
        let found = Propagation::so_far(missing, secs(waited), secs(timeout)).break_value();
        assert_eq!(found.as_ref(), expected);
    }

    #[test]
    fn waiting_ends_with_the_last_answer_or_when_none_can_be_serving() {
        let missing = || vec!["a".into()];
        check(&[], 0, 0, Some(&Propagation::Acknowledged));
        check(&[instance(10)], 0, 100, None);
        check(&[instance(10)], 10, 100, None);
        check(&[instance(10)], 11, 100, Some(&Propagation::Elapsed { missing: missing() }));
        check(&[instance(10)], 5, 5, Some(&Propagation::TimedOut { missing: missing() }));
        check(&[instance(10)], 11, 5, Some(&Propagation::Elapsed { missing: missing() }));
        let two = [instance(10), instance(100)];
        check(&two, 20, 200, None);
    }

    #[test]
    fn an_instance_is_gone_when_it_has_long_been_silent() {
        let mut beats = Beats::new();
        assert_eq!(beats.silent([(1, 7, secs(65))], secs(0)), []);
        assert_eq!(beats.silent([(1, 7, secs(65))], secs(665)), []);
        assert_eq!(beats.silent([(1, 7, secs(65))], secs(666)), [(1, 7)]);
        assert_eq!(beats.silent([(1, 8, secs(65))], secs(667)), [], "it beats again");
        assert_eq!(beats.silent([(1, 8, secs(65))], secs(700)), []);
    }
}
