//! Events as they lie in a spool: a length, a checksum, and JSON, which later versions read too.

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
    let payload = serde_json::to_vec(event).unwrap_or_default();
    let Some(len) =
        u32::try_from(payload.len()).ok().filter(|_| (1..=MOST).contains(&payload.len()))
    else {
        return false;
    };
    buffer.extend(len.to_le_bytes());
    buffer.extend(crc32fast::hash(&payload).to_le_bytes());
    buffer.extend(payload);
    true
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
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (len, sum) = head.split_at_checked(HEAD / 2)?;
    let len = usize::try_from(u32::from_le_bytes(len.try_into().ok()?)).ok()?;
    let (payload, rest) = rest.split_at_checked(len).filter(|_| len <= MOST)?;
    let intact = crc32fast::hash(payload) == u32::from_le_bytes(sum.try_into().ok()?);
    let event = serde_json::from_slice(payload).ok().filter(|_| intact)?;
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
