//! What others have worked out from a record.

use std::any::Any;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Room in a record for what somebody has found for it and need not look for again while the record
/// is at hand, like a limiter the counts of those it belongs to.
///
/// It is no part of what is known of a key: it is written nowhere, a clone of a record has none, and
/// records are equal whatever it holds. The first who puts something there stays.
#[derive(Default)]
pub struct Memo(OnceLock<Kept>);

struct Kept {
    found: Arc<dyn Any + Send + Sync>,
    number: NonZeroU64,
}

impl Memo {
    /// What is there, if it is of this type, and a number that no other memo of this process has or
    /// ever had.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<(&T, NonZeroU64)> {
        let Kept { found, number } = self.0.get()?;
        Some((found.downcast_ref()?, *number))
    }

    /// Puts something there, unless there is something.
    pub fn set<T: Any + Send + Sync>(&self, found: Arc<T>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.0.get_or_init(|| {
            // It does not come round in centuries.
            let number = NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed));
            Kept { found, number: number.unwrap_or(NonZeroU64::MAX) }
        });
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Memo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Memo(-)" } else { "Memo(..)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stays_and_no_clone_has_it() {
        let (memo, other) = (Memo::default(), Memo::default());
        assert!(memo.is_empty() && memo.get::<u32>().is_none());
        memo.set(Arc::new(1_u32));
        memo.set(Arc::new(2_u32));
        other.set(Arc::new(3_u32));
        let (found, number) = memo.get::<u32>().expect("it is there");
        assert_eq!(*found, 1);
        assert_ne!(other.get::<u32>().expect("it is there").1, number);
        assert!(memo.get::<u64>().is_none(), "it is of another type");
        assert!(memo.clone().is_empty() && memo.clone() == memo);
    }
}
