//! What can happen, and what the protocol does then.
//!
//! The world is as bad as it can be: polls start at any time or never, which is all that hints
//! that are lost, doubled and reordered amount to; leases end at any time; the shared cache
//! holds any version there ever was, or none, which covers whatever other instances write to it
//! and whatever it loses. Time is one assumption: when a waiting revoke has waited for as long
//! as an instance may serve without a poll, leases from polls sent before the revoke are over.

use stateright::{Model, Property};

use crate::state::{Caller, Flight, Instance, Lease, Place, Poll, Source, State, Version};
use crate::{APPLIED, RETURNED};

/// How much of the world is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) instances: usize,
    pub(crate) changes: Version,
    /// Requests, for each instance.
    pub(crate) callers: usize,
    pub(crate) crashes: u8,
}

/// A part of the protocol that can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Nothing,
    /// What is loaded, cached and told is compared with the mark. Without, a change only
    /// deletes what is cached, as caches commonly do.
    Fence,
    /// What is cached is served under a lease only.
    Lease,
    /// Who joins a load that was sent already is told its outcome under a lease only.
    LateJoinerRule,
    /// The shared cache is asked under a lease only.
    LeaseForShared,
    /// A lease counts from when the poll was sent.
    LeaseFromSending,
    /// Changes are acknowledged when they are applied.
    ApplyingFirst,
    /// An instance registers before its first poll.
    RegisteringFirst,
    /// Those who wait wait for the grace too.
    WaitingForGrace,
    /// Who leaves gives back the lease.
    GivingBackTheLease,
    /// The grace needs an attempt that failed.
    FailedAttempt,
}

#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) bounds: Bounds,
    pub(crate) without: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A revoke commits, and waits.
    Revoke,
    /// All have acknowledged.
    Return,
    /// The time that an instance may serve without a poll has passed since the revoke.
    TimeOut,
    Register(usize),
    Leave(usize),
    Crash(usize),
    SendPoll(usize),
    LandPoll(usize),
    LosePoll(usize),
    Acknowledge(usize),
    EndLease(usize),
    EndGrace(usize),
    Call(usize, usize),
    SendLoad(usize, usize),
    ReadShared(usize, usize, Version),
    ReadStore(usize, usize),
    FailLoad(usize, usize),
    LandLoad(usize, usize),
    Wake(usize, usize),
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let callers = vec![Caller::ToCome; self.bounds.callers];
        let instance = Instance { callers, ..Instance::default() };
        vec![State {
            version: 0,
            waiting: None,
            returned: 0,
            ghost: None,
            crashes: 0,
            instances: vec![instance; self.bounds.instances],
            older_than_applied: false,
            older_than_returned: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.waiting.is_none() && state.version < self.bounds.changes {
            actions.push(Action::Revoke);
        }
        if let Some(version) = state.waiting {
            actions.push(Action::TimeOut);
            let rows = state.instances.iter().filter_map(|instance| instance.row);
            if rows.chain(state.ghost).all(|applied| applied >= version) {
                actions.push(Action::Return);
            }
        }
        for (at, instance) in state.instances.iter().enumerate() {
            self.actions_of(state, at, instance, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Revoke => {
                state.version += 1;
                state.waiting = Some(state.version);
            }
            Action::Return => state.returned = state.waiting.take()?,
            Action::TimeOut => {
                let version = state.waiting.take()?;
                for instance in &mut state.instances {
                    self.let_time_pass(instance, version);
                }
                state.returned = version;
            }
            Action::Crash(at) => {
                let crashed = &state.instances[at];
                let rows = crashed.row.into_iter().chain(state.ghost);
                state.ghost = rows.min();
                let callers = vec![Caller::Answered; self.bounds.callers];
                let mut new = Instance { callers, ..Instance::default() };
                // The one that comes after it has requests of its own.
                new.callers[0] = Caller::ToCome;
                state.instances[at] = new;
                state.crashes += 1;
            }
            Action::Register(at)
            | Action::Leave(at)
            | Action::SendPoll(at)
            | Action::LandPoll(at)
            | Action::LosePoll(at)
            | Action::Acknowledge(at)
            | Action::EndLease(at)
            | Action::EndGrace(at) => self.feed(&mut state.instances[at], last.version, action)?,
            Action::Call(at, caller) => self.call(&mut state, at, caller, last.returned),
            Action::Wake(at, caller) => self.wake(&mut state, at, caller)?,
            Action::SendLoad(at, flight)
            | Action::ReadShared(at, flight, _)
            | Action::ReadStore(at, flight)
            | Action::FailLoad(at, flight)
            | Action::LandLoad(at, flight) => self.load(&mut state, at, flight, action)?,
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(APPLIED, |_, state: &State| !state.older_than_applied),
            Property::always(RETURNED, |_, state: &State| !state.older_than_returned),
            // That the model says something at all.
            Property::sometimes("a revoke has returned", |_, state: &State| state.returned > 0),
            Property::sometimes("all were answered", |_, state: &State| {
                let callers = state.instances.iter().flat_map(|instance| &instance.callers);
                state.returned > 0 && callers.into_iter().all(|c| *c == Caller::Answered)
            }),
        ]
    }
}

impl Protocol {
    fn has(&self, part: Part) -> bool {
        self.without != part
    }

    fn actions_of(&self, state: &State, at: usize, of: &Instance, actions: &mut Vec<Action>) {
        if !of.left {
            if of.row.is_none() {
                actions.push(Action::Register(at));
            } else {
                actions.push(Action::Leave(at));
            }
            if of.poll.is_none() && (of.row.is_some() || !self.has(Part::RegisteringFirst)) {
                actions.push(Action::SendPoll(at));
            }
        }
        if of.poll.is_some() {
            actions.push(Action::LandPoll(at));
            actions.push(Action::LosePoll(at));
        }
        let early = !self.has(Part::ApplyingFirst) && of.poll.is_some();
        if of.row.is_some() && (of.unacknowledged || early) {
            actions.push(Action::Acknowledge(at));
        }
        match of.lease {
            Lease::None => {}
            Lease::Held { .. } => actions.push(Action::EndLease(at)),
            Lease::Grace { .. } => actions.push(Action::EndGrace(at)),
        }
        if state.crashes < self.bounds.crashes {
            actions.push(Action::Crash(at));
        }
        for (which, caller) in of.callers.iter().enumerate() {
            match caller {
                Caller::ToCome => actions.push(Action::Call(at, which)),
                Caller::Woken { .. } => actions.push(Action::Wake(at, which)),
                Caller::Waiting { .. } | Caller::Answered => {}
            }
        }
        for (which, flight) in of.flights.iter().enumerate() {
            if !flight.sent {
                actions.push(Action::SendLoad(at, which));
            } else if flight.read.is_none() {
                actions.push(Action::ReadStore(at, which));
                actions.push(Action::FailLoad(at, which));
                if flight.may_share {
                    let versions = 0..=state.version;
                    actions.extend(versions.map(|version| Action::ReadShared(at, which, version)));
                }
            } else {
                actions.push(Action::LandLoad(at, which));
            }
        }
    }

    /// So much time has passed since `version` came into being that no instance may serve what
    /// was before, unless a poll has told it.
    fn let_time_pass(&self, instance: &mut Instance, version: Version) {
        instance.lease = match instance.lease {
            Lease::Held { seen } if seen < version && !self.has(Part::WaitingForGrace) => {
                Lease::Grace { seen, failed: false }
            }
            Lease::Held { seen } if seen < version => Lease::None,
            Lease::Grace { seen, .. } if seen < version && self.has(Part::WaitingForGrace) => {
                Lease::None
            }
            other => other,
        };
        if let Some(poll) = &mut instance.poll {
            poll.over |= poll.seen < version;
        }
    }

    /// Polls, leases and rows.
    fn feed(&self, of: &mut Instance, version: Version, action: Action) -> Option<()> {
        match action {
            Action::Register(_) => of.row = Some(0),
            Action::Leave(_) => {
                (of.row, of.left, of.poll) = (None, true, None);
                if self.has(Part::GivingBackTheLease) {
                    of.lease = Lease::None;
                }
            }
            Action::SendPoll(_) => of.poll = Some(Poll { seen: version, over: false }),
            Action::LosePoll(_) => of.poll = None,
            Action::LandPoll(_) => {
                let poll = of.poll.take()?;
                if poll.seen > of.mark && !self.has(Part::Fence) {
                    of.entry = None;
                }
                of.mark = of.mark.max(poll.seen);
                of.unacknowledged = of.row.is_some_and(|applied| applied < of.mark);
                if !poll.over || !self.has(Part::LeaseFromSending) {
                    of.lease = Lease::Held { seen: poll.seen };
                }
            }
            Action::Acknowledge(_) => {
                let applied = if self.has(Part::ApplyingFirst) {
                    of.mark
                } else {
                    of.poll.map_or(of.mark, |poll| poll.seen)
                };
                of.row = of.row.map(|before| before.max(applied));
                of.unacknowledged = false;
            }
            Action::EndLease(_) => {
                let Lease::Held { seen } = of.lease else { return None };
                of.lease = Lease::Grace { seen, failed: false };
            }
            Action::EndGrace(_) => of.lease = Lease::None,
            _ => return None,
        }
        Some(())
    }

    fn is_good(&self, version: Version, of: &Instance) -> bool {
        version >= of.mark || !self.has(Part::Fence)
    }

    /// What an instance may serve without asking anybody.
    fn cached(&self, of: &Instance) -> Option<Version> {
        let entry = of.entry.filter(|entry| self.is_good(*entry, of))?;
        let may = match of.lease {
            Lease::Held { .. } => true,
            Lease::Grace { failed, .. } => failed || !self.has(Part::FailedAttempt),
            Lease::None => false,
        };
        (may || !self.has(Part::Lease)).then_some(entry)
    }

    /// A request comes, or one that could not be answered tries again.
    fn call(&self, state: &mut State, at: usize, caller: usize, floor: Version) {
        let of = &mut state.instances[at];
        if let Some(version) = self.cached(of) {
            answer(state, at, caller, version, floor);
            return;
        }
        let leased = matches!(of.lease, Lease::Held { .. });
        let may_join = leased || !self.has(Part::LateJoinerRule);
        let found = of.flights.iter_mut().find(|flight| flight.current);
        let (flight, place) = match found {
            Some(found) if !found.sent => (found.id, Place::Early),
            Some(found) if may_join => (found.id, Place::Late),
            found => {
                if let Some(found) = found {
                    found.current = false;
                }
                let taken = |id: &u8| of.flights.iter().all(|flight| flight.id != *id);
                let id = (0..).find(taken).expect("an id");
                of.flights.push(Flight {
                    id,
                    current: true,
                    sent: false,
                    may_share: false,
                    in_grace: false,
                    read: None,
                });
                (id, Place::Early)
            }
        };
        of.callers[caller] = Caller::Waiting { flight, place, floor };
    }

    /// A step of a load.
    fn load(&self, state: &mut State, at: usize, which: usize, action: Action) -> Option<()> {
        let version = state.version;
        let of = &mut state.instances[at];
        match action {
            Action::SendLoad(..) => {
                let lease = of.lease;
                let flight = of.flights.get_mut(which)?;
                flight.sent = true;
                let leased = matches!(lease, Lease::Held { .. });
                flight.may_share = leased || !self.has(Part::LeaseForShared);
                flight.in_grace = matches!(lease, Lease::Grace { .. });
            }
            Action::ReadShared(_, _, version) => {
                of.flights.get_mut(which)?.read = Some((version, Source::Shared));
            }
            Action::ReadStore(..) => {
                of.flights.get_mut(which)?.read = Some((version, Source::Store));
            }
            Action::LandLoad(..) => {
                let (version, source) = of.flights.get(which)?.read?;
                if !self.is_good(version, of) {
                    // Loaded again, from the store.
                    let flight = of.flights.get_mut(which)?;
                    (flight.read, flight.may_share) = (None, false);
                    return Some(());
                }
                if let (Source::Store, Lease::Grace { failed, .. }) = (source, &mut of.lease) {
                    *failed = false;
                }
                let kept = of.entry.filter(|old| self.is_good(*old, of));
                of.entry = Some(kept.map_or(version, |old| old.max(version)));
                if !self.has(Part::Fence) {
                    of.entry = Some(version);
                }
                let landed = of.flights.remove(which);
                for caller in &mut of.callers {
                    if let Caller::Waiting { flight, place, floor } = *caller
                        && flight == landed.id
                    {
                        *caller = Caller::Woken { version, place, floor };
                    }
                }
            }
            Action::FailLoad(..) => {
                let failed_flight = of.flights.remove(which);
                if let Lease::Grace { failed, .. } = &mut of.lease {
                    *failed |= failed_flight.in_grace;
                }
                let cached = match of.lease {
                    Lease::Held { .. } => None,
                    _ => self.cached(of),
                };
                for caller in 0..of.callers.len() {
                    let of = &mut state.instances[at];
                    if let Caller::Waiting { flight, floor, .. } = of.callers[caller]
                        && flight == failed_flight.id
                    {
                        of.callers[caller] = Caller::Answered;
                        if let Some(version) = cached {
                            answer(state, at, caller, version, floor);
                        }
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// A caller looks at what has come of the load it waited for.
    fn wake(&self, state: &mut State, at: usize, caller: usize) -> Option<()> {
        let of = &state.instances[at];
        let Caller::Woken { version, place, floor } = of.callers[caller] else { return None };
        let late = place == Place::Late && self.has(Part::LateJoinerRule);
        let leased = matches!(of.lease, Lease::Held { .. });
        if (leased || !late) && self.is_good(version, of) {
            answer(state, at, caller, version, floor);
        } else {
            self.call(state, at, caller, floor);
        }
        Some(())
    }
}

/// A request is answered by a version, which is what the properties are about.
fn answer(state: &mut State, at: usize, caller: usize, version: Version, floor: Version) {
    let of = &mut state.instances[at];
    of.callers[caller] = Caller::Answered;
    state.older_than_applied |= version < of.mark;
    state.older_than_returned |= version < floor;
}
