//! The protocol behind the cache as a model, every state of which is looked at.
//!
//! `docs/revocation.md` explains the protocol and lists the parts. Each test here takes one part
//! away and shows the model failing; those at the end show what can be done without.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print what they have found"
)]

mod protocol;
mod state;

use protocol::{Bounds, Part, Protocol};
use stateright::{Checker, Model};

/// No request is answered by a version older than a change that its instance has applied.
const APPLIED: &str = "nothing older than a change applied here";
/// No request that begins after a waiting revoke has returned is answered by what was before.
const RETURNED: &str = "nothing older than a revoke that has returned";

/// One instance, looked at closely.
const DEEP: Bounds = Bounds { instances: 1, changes: 2, callers: 2, crashes: 0 };
/// Two, with crashes, and a revoke that waits for both.
const WIDE: Bounds = Bounds { instances: 2, changes: 1, callers: 1, crashes: 1 };

fn check(bounds: Bounds, without: Part) -> impl Checker<Protocol> {
    // Which instance is which makes no difference.
    let sorted = |state: &state::State| {
        let mut state = state.clone();
        state.instances.sort();
        state
    };
    let checker = Protocol { bounds, without }.checker().threads(2).symmetry_fn(sorted);
    checker.spawn_dfs().join()
}

fn holds(bounds: Bounds, without: Part) {
    let checker = check(bounds, without);
    checker.assert_properties();
    let states = checker.unique_state_count();
    println!("{states} states of {bounds:?}, without {without:?}");
    assert!((1_000..5_000_000).contains(&states), "{states} states");
}

#[track_caller]
fn breaks(without: Part, property: &'static str) {
    for bounds in [DEEP, WIDE] {
        let checker = check(bounds, without);
        if let Some(path) = checker.discovery(property) {
            println!("without {without:?}: {:?}", path.into_actions());
            return;
        }
    }
    panic!("without {without:?} it is still true that there is {property}");
}

#[test]
fn it_holds_for_one_instance_looked_at_closely() {
    holds(DEEP, Part::Nothing);
}

#[test]
fn it_holds_for_two_instances_that_crash() {
    holds(WIDE, Part::Nothing);
}

#[test]
fn without_the_fence_a_slow_load_brings_back_what_was_revoked() {
    breaks(Part::Fence, APPLIED);
    breaks(Part::Fence, RETURNED);
}

#[test]
fn without_the_lease_a_deaf_instance_goes_on_for_ever() {
    breaks(Part::Lease, RETURNED);
}

#[test]
fn without_the_late_joiner_rule_a_caller_is_told_what_was_before_him() {
    breaks(Part::LateJoinerRule, RETURNED);
}

#[test]
fn without_a_lease_the_shared_cache_must_not_be_asked() {
    breaks(Part::LeaseForShared, RETURNED);
}

#[test]
fn a_lease_that_counts_from_the_answer_is_too_long() {
    breaks(Part::LeaseFromSending, RETURNED);
}

#[test]
fn an_acknowledgement_before_the_changes_are_applied_is_a_lie() {
    breaks(Part::ApplyingFirst, RETURNED);
}

#[test]
fn an_instance_that_polls_before_it_is_known_is_not_waited_for() {
    breaks(Part::RegisteringFirst, RETURNED);
}

#[test]
fn a_wait_that_forgets_the_grace_is_too_short() {
    breaks(Part::WaitingForGrace, RETURNED);
}

#[test]
fn an_instance_that_leaves_with_its_lease_is_not_waited_for() {
    breaks(Part::GivingBackTheLease, RETURNED);
}

#[test]
fn the_grace_needs_no_failed_attempt_to_be_waited_for() {
    // That is for the sake of those who do not wait: a store that is there is asked.
    holds(WIDE, Part::FailedAttempt);
}
