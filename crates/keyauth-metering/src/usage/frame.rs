//! Events as they lie in a spool: a length, a checksum, and MessagePack with the names of fields, which
//! later versions read too.

use keyauth_core::UsageEvent;

/// Length and checksum, four bytes each, little-endian.
const HEAD: usize = 8;
/// Longer than any event.
const MOST: usize = 1 << 20;

/// Whether what was read is all there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// The last of it was not written to its end, or is damaged: nothing behind it is believed.
    Torn,
}

/// Appends an event, and says whether it could be: nothing behind one that is too long would be
/// read.
#[must_use]
pub(crate) fn append(buffer: &mut Vec<u8>, event: &UsageEvent) -> bool {
    let start = buffer.len();
    buffer.extend([0; HEAD]);
    let written = rmp_serde::encode::write_named(buffer, event).is_ok();
    let Some((head, payload)) =
        buffer.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut())
    else {
        return false;
    };
    if !written || payload.len() > MOST {
        buffer.truncate(start);
        return false;
    }
    *head = head_of(payload);
    true
}

/// What stands before a payload that is short enough.
fn head_of(payload: &[u8]) -> [u8; HEAD] {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let [a, b, c, d] = len.to_le_bytes();
    let [e, f, g, h] = crc32fast::hash(payload).to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Reads events, up to the first that is not intact.
pub(crate) fn read(mut bytes: &[u8]) -> (Vec<UsageEvent>, End) {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let Some((event, rest)) = read_one(bytes) else { return (events, End::Torn) };
        events.push(event);
        bytes = rest;
    }
    (events, End::Whole)
}

fn read_one(bytes: &[u8]) -> Option<(UsageEvent, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let [a, b, c, d, ..] = *head;
    let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    let (payload, rest) = rest.split_at_checked(len).filter(|_| len <= MOST)?;
    let intact = head_of(payload) == *head;
    let event = rmp_serde::from_slice(payload).ok().filter(|_| intact)?;
    Some((event, rest))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keyauth_core::{Amount, KeyId, OwnerId, TenantId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn event(number: u64) -> UsageEvent {
        UsageEvent {
            at: Timestamp::from_micros(1),
            tenant: TenantId::default(),
            owner: OwnerId::default(),
            group: None,
            key: KeyId::from_bytes([7; 16]),
            route: "GET /".into(),
            resource: "\0 model \u{1f600}".into(),
            status: 200,
            cost: Amount::from_fractions(-3),
            limit_cost: u64::MAX,
            input: number,
            output: 0,
            duration: Duration::from_micros(1),
            address: Some([192, 0, 2, 1].into()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// M10: wherever it is torn or damaged, what lies before that is read, and no more.
        #[test]
        fn the_intact_part_is_read(count in 0..6_u64, at: prop::sample::Index, flip in 1..=255_u8) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for number in 0..count {
                prop_assert!(append(&mut bytes, &event(number)));
                ends.push(bytes.len());
            }
            let (events, end) = read(&bytes);
            prop_assert_eq!((events.len() as u64, end), (count, End::Whole));
            if bytes.is_empty() {
                return Ok(());
            }
            let at = at.index(bytes.len());
            let intact = ends.iter().filter(|end| **end > 0 && **end <= at).count();
            let (events, end) = read(&bytes[..at]);
            prop_assert_eq!(events.len(), intact);
            prop_assert_eq!(end == End::Whole, ends.contains(&at));
            bytes[at] ^= flip;
            let (events, end) = read(&bytes);
            prop_assert_eq!((events.len(), end), (intact, End::Torn));
        }
    }
}
