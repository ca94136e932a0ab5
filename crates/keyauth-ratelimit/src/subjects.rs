//! Whose use the limits of a call count.

use keyauth_core::{Counted, Limited, LimitedSubject};

/// Whose use can be counted in one decision, in the order in which it is locked.
const ORDER: [Counted; KINDS] =
    [Counted::Key, Counted::Member, Counted::Owner, Counted::Group, Counted::Tenant];
pub(crate) const KINDS: usize = 5;

/// Where a kind stands in the order.
pub(crate) const fn place(kind: Counted) -> usize {
    match kind {
        Counted::Key => 0,
        Counted::Member => 1,
        Counted::Owner => 2,
        Counted::Group => 3,
        // And of kinds of a later version.
        _ => 4,
    }
}

/// All whose use counts in a call, in their order; `None` for those that no limit concerns, and
/// for a group where there is none.
pub(crate) fn subjects(limited: &Limited) -> [Option<LimitedSubject>; KINDS] {
    let mut concerned = [false; KINDS];
    for applied in limited.limits() {
        if let Some(concerned) = concerned.get_mut(place(limited.counted(applied))) {
            *concerned = true;
        }
    }
    let mut kinds = concerned.into_iter().zip(ORDER);
    std::array::from_fn(|_| {
        let (concerned, kind) = kinds.next()?;
        concerned.then(|| limited.subject(kind)).flatten()
    })
}
