//! What the fuzz targets of `tests/fuzz` check of what is private here.

use crate::limits::{call, lease};

/// Whatever Redis says to a question about limits: it is an answer about all that was asked, or
/// none.
///
/// # Panics
///
/// Where a property does not hold.
pub fn limits(bytes: &[u8]) {
    let Ok(answer) = std::str::from_utf8(bytes) else { return };
    for asked in [&[0][..], &[2, 5, 9]] {
        if let Some(Ok(decision)) = call::read(answer, asked) {
            let told: Vec<_> = decision.states.iter().map(|state| state.at).collect();
            assert_eq!(told, asked);
        }
    }
    for questions in [1, 3] {
        if let Some(Ok(leases)) = lease::read(answer, questions) {
            assert!(leases.is_empty() || leases.len() == questions);
        }
    }
}

#[cfg(test)]
#[test]
fn the_corpus_of_answers() {
    keyauth_testkit::replay("limits", limits);
}
